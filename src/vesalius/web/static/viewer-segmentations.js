// Segmentations and structure sets that the viewer makes lack attributes that the standard requires (PS3.3 C.8.20,
// C.7.6.16, C.8.8.5): other readers refuse them, and `dciodvfy` names each. An extension that completes them on their
// way into the archive, from what the images that were painted on say of themselves; nothing that the reader drew is
// touched.
(function () {
  'use strict';
  const BINARY = '1.2.840.10008.5.1.4.1.1.66.4';
  const LABEL_MAP = '1.2.840.10008.5.1.4.1.1.66.7';
  const STRUCTURES = '1.2.840.10008.5.1.4.1.1.481.3';
  const STUDY_CLASS = '1.2.840.10008.3.1.2.3.1'; // retired, and what everybody writes into a reference to a study
  const REFERENCED_SEGMENT = 0x0062000b;

  const items = value => [].concat(value ?? []);
  const first = value => items(value)[0];
  const code = (value, meaning) => ({ CodeValue: value, CodingSchemeDesignator: 'DCM', CodeMeaning: meaning });
  const numbers = value => items(value).map(Number);
  const dot = (one, other) => one.reduce((sum, value, axis) => sum + value * other[axis], 0);

  function normal(orientation) {
    const [a, b, c, d, e, f] = orientation;
    return [b * f - c * e, c * d - a * f, a * e - b * d];
  }

  // The reference to an image, as PS3.3 table 10-3 wants it: class and instance, frames of multi-frame images alone.
  function complete(reference, images) {
    const image = images.get(reference.ReferencedSOPInstanceUID);
    if (!image) {
      return;
    }
    reference.ReferencedSOPClassUID = image.SOPClassUID;
    if (!(Number(image.NumberOfFrames) > 1)) {
      delete reference.ReferencedFrameNumber;
    }
  }

  // How thick a slice is: as the images say, else as far as they lie apart.
  function thickness(references, images, orientation) {
    const sources = references.map(uid => images.get(uid)).filter(Boolean);
    const said = sources.flatMap(image => [image.SliceThickness, image.SpacingBetweenSlices].map(Number));
    const known = said.find(value => value > 0);
    if (known || orientation.length !== 6) {
      return known;
    }
    const series = new Set(sources.map(image => image.SeriesInstanceUID));
    const places = [...images.values()]
      .filter(image => series.has(image.SeriesInstanceUID) && items(image.ImagePositionPatient).length === 3)
      .map(image => dot(normal(orientation), numbers(image.ImagePositionPatient)))
      .sort((one, other) => one - other);
    const steps = places.slice(1).map((place, index) => place - places[index]);
    return steps.find(step => step > 1e-3);
  }

  function mend(dataset, images) {
    const labels = dataset.SOPClassUID === LABEL_MAP;
    const shared = first(dataset.SharedFunctionalGroupsSequence) ?? {};
    const frames = items(dataset.PerFrameFunctionalGroupsSequence);
    const orientation = numbers(
      first(shared.PlaneOrientationSequence ?? frames[0]?.PlaneOrientationSequence)?.ImageOrientationPatient
    );

    for (const segment of items(dataset.SegmentSequence)) {
      if (segment.SegmentAlgorithmType === 'MANUAL') {
        delete segment.SegmentAlgorithmName;
      }
    }
    items(dataset.SourceImageSequence).forEach(reference => complete(reference, images));

    // A functional group stands once: for all frames where all say the same, else in each of them.
    for (const name of ['PlaneOrientationSequence', 'PixelMeasuresSequence']) {
      const said = JSON.stringify(first(shared[name]));
      if (frames.every(frame => !frame[name] || JSON.stringify(first(frame[name])) === said)) {
        frames.forEach(frame => delete frame[name]);
      } else if (frames.every(frame => frame[name])) {
        delete shared[name];
      }
    }

    const sources = [];
    for (const frame of frames) {
      for (const derivation of items(frame.DerivationImageSequence)) {
        derivation.DerivationCodeSequence ??= [code('113076', 'Segmentation')];
        for (const reference of items(derivation.SourceImageSequence)) {
          complete(reference, images);
          sources.push(reference.ReferencedSOPInstanceUID);
          reference.PurposeOfReferenceCodeSequence ??= [code('121322', 'Source image for image processing operation')];
        }
      }
    }

    const measures = first(shared.PixelMeasuresSequence);
    if (measures && !(Number(measures.SliceThickness) > 0)) {
      const found = thickness(sources, images, orientation);
      if (found) {
        measures.SliceThickness = found;
      } else {
        delete measures.SliceThickness;
      }
    }

    // Where each frame stands in the dimensions: its segment (a label map has all of them in one frame), its place.
    const dimensions = items(dataset.DimensionIndexSequence);
    const segmentAt = dimensions.findIndex(one => Number(one.DimensionIndexPointer) === REFERENCED_SEGMENT
      || one.DimensionDescriptionLabel === 'ReferencedSegmentNumber');
    if (orientation.length === 6 && dimensions.length === 2 && segmentAt === 0) {
      const place = frame => dot(normal(orientation), numbers(first(frame.PlanePositionSequence)?.ImagePositionPatient));
      const places = [...new Set(frames.map(place).map(value => value.toFixed(4)))].sort((a, b) => a - b);
      if (labels) {
        dataset.DimensionIndexSequence = [dimensions[1]];
      }
      for (const frame of frames) {
        const rank = places.indexOf(place(frame).toFixed(4)) + 1;
        const number = first(frame.SegmentIdentificationSequence)?.ReferencedSegmentNumber;
        const content = first(frame.FrameContentSequence) ?? {};
        content.DimensionIndexValues = labels ? [rank] : [Number(number ?? 1), rank];
        frame.FrameContentSequence = [content];
      }
    }

    for (const series of items(dataset.ReferencedSeriesSequence)) {
      const known = new Map(items(series.ReferencedInstanceSequence).map(one => [one.ReferencedSOPInstanceUID, one]));
      series.ReferencedInstanceSequence = [...known.values()];
    }
    return dataset;
  }

  // Structure sets name their images by study and series within the frame of reference, not beside it.
  function mendStructures(dataset) {
    const frame = first(dataset.ReferencedFrameOfReferenceSequence);
    const series = items(dataset.ReferencedSeriesSequence);
    if (!frame || frame.RTReferencedStudySequence || series.length === 0) {
      return;
    }
    frame.RTReferencedStudySequence = [
      {
        ReferencedSOPClassUID: STUDY_CLASS,
        ReferencedSOPInstanceUID: dataset.StudyInstanceUID,
        RTReferencedSeriesSequence: series.map(one => ({
          SeriesInstanceUID: one.SeriesInstanceUID,
          ContourImageSequence: items(one.ReferencedInstanceSequence).map(image => ({ ...image })),
        })),
      },
    ];
    delete dataset.ReferencedSeriesSequence;
  }

  window.vesaliusSegmentations = {
    extension: {
      id: 'vesalius.segmentations',
      onModeEnter: ({ servicesManager, extensionManager }) => {
        const { displaySetService } = servicesManager.services;
        const store = extensionManager.getActiveDataSource()[0]?.store;
        if (!store || store.completesSegmentations) {
          return;
        }
        const { dicom } = store;
        store.completesSegmentations = true;
        store.dicom = (dataset, ...rest) => {
          if ([BINARY, LABEL_MAP].includes(dataset?.SOPClassUID)) {
            const shown = displaySetService.getActiveDisplaySets().flatMap(one => items(one.images ?? one.instances));
            mend(dataset, new Map(shown.map(image => [image.SOPInstanceUID, image])));
          } else if (dataset?.SOPClassUID === STRUCTURES) {
            mendStructures(dataset);
          }
          return dicom(dataset, ...rest);
        };
      },
    },
  };
})();
