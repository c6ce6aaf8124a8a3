// Key images: what the viewer itself does not know. An extension of it that keeps the image on the screen as a Key Object
// Selection (PS3.3 A.35.4, TID 2010, "Of Interest") by STOW-RS, marks the images that such documents name, and goes from
// one to the next. Nothing is kept in the browser: what is marked is what the archive holds.
(function () {
  'use strict';
  const KEY_OBJECT_SELECTION = '1.2.840.10008.5.1.4.1.1.88.59';
  const root = window.location.origin + document.currentScript.dataset.dicomWeb;

  const marked = new Map(); // SOP Instance UID -> set of frame numbers; an empty set: all of it
  const looked = new Set(); // studies whose documents were read
  const seriesOf = new Map(); // study -> the series that documents of this session go to
  const listeners = new Set(); // called when something was marked
  let marks = 0;

  // A UID of a random UUID (PS3.5 B.2).
  const newUid = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    return '2.25.' + bytes.reduce((number, byte) => number * 256n + BigInt(byte), 0n);
  };
  const now = () => {
    const digits = new Date().toISOString().replace(/[-:T]/g, '');
    return { date: digits.slice(0, 8), time: digits.slice(8, 17) };
  };
  const code = (value, scheme, meaning) => ({
    CodeValue: value,
    CodingSchemeDesignator: scheme,
    CodeMeaning: meaning,
  });

  function documentOf(instance, frame) {
    const { date, time } = now();
    const study = instance.StudyInstanceUID;
    const series = seriesOf.get(study) ?? { uid: newUid(), documents: 0 };
    seriesOf.set(study, series);
    series.documents += 1;
    const reference = {
      ReferencedSOPClassUID: instance.SOPClassUID,
      ReferencedSOPInstanceUID: instance.SOPInstanceUID,
    };
    return {
      _meta: { FileMetaInformationVersion: { Value: [new Uint8Array([0, 1]).buffer], vr: 'OB' } },
      SpecificCharacterSet: 'ISO_IR 192',
      SOPClassUID: KEY_OBJECT_SELECTION,
      SOPInstanceUID: newUid(),
      PatientName: instance.PatientName ?? '',
      PatientID: instance.PatientID ?? '',
      PatientBirthDate: instance.PatientBirthDate ?? '',
      PatientSex: instance.PatientSex ?? '',
      StudyInstanceUID: study,
      StudyID: instance.StudyID ?? '',
      StudyDate: instance.StudyDate ?? '',
      StudyTime: instance.StudyTime ?? '',
      StudyDescription: instance.StudyDescription ?? '',
      AccessionNumber: instance.AccessionNumber ?? '',
      ReferringPhysicianName: '',
      Modality: 'KO',
      SeriesInstanceUID: series.uid,
      SeriesNumber: '9001',
      SeriesDescription: 'Key images',
      ReferencedPerformedProcedureStepSequence: [],
      Manufacturer: 'Vesalius',
      InstanceNumber: String(series.documents),
      ContentDate: date,
      ContentTime: time,
      CurrentRequestedProcedureEvidenceSequence: [
        {
          StudyInstanceUID: study,
          ReferencedSeriesSequence: [
            { SeriesInstanceUID: instance.SeriesInstanceUID, ReferencedSOPSequence: [{ ...reference }] },
          ],
        },
      ],
      ValueType: 'CONTAINER',
      ConceptNameCodeSequence: [code('113000', 'DCM', 'Of Interest')],
      ContinuityOfContent: 'SEPARATE',
      ContentTemplateSequence: [{ MappingResource: 'DCMR', TemplateIdentifier: '2010' }],
      ContentSequence: [
        {
          RelationshipType: 'CONTAINS',
          ValueType: 'IMAGE',
          ReferencedSOPSequence: [Number(instance.NumberOfFrames) > 1 ? { ...reference, ReferencedFrameNumber: frame } : reference],
        },
      ],
    };
  }

  function mark(uid, frames) {
    const known = marked.get(uid);
    if (frames.length === 0 || (known && known.size === 0)) {
      marked.set(uid, new Set());
    } else {
      marked.set(uid, new Set([...(known ?? []), ...frames]));
    }
    marks += 1;
    listeners.forEach(listener => listener());
  }

  // The images that a document's content names (DICOM JSON).
  function read(content) {
    for (const item of content?.['0040A730']?.Value ?? []) {
      if (item['0040A040']?.Value?.[0] === 'IMAGE') {
        for (const reference of item['00081199']?.Value ?? []) {
          mark(reference['00081155'].Value[0], reference['00081160']?.Value?.map(Number) ?? []);
        }
      }
      read(item);
    }
  }

  async function json(path) {
    const answer = await fetch(root + path, { headers: { Accept: 'application/dicom+json' } });
    return answer.status === 200 ? answer.json() : [];
  }

  async function look(study) {
    // What is made on this page has no study yet.
    if (!study || looked.has(study)) {
      return;
    }
    looked.add(study);
    for (const series of await json(`/studies/${study}/series?Modality=KO`)) {
      (await json(`/studies/${study}/series/${series['0020000E'].Value[0]}/metadata`)).forEach(read);
    }
  }

  const frameOf = imageId => Number(/\/frames\/(\d+)/.exec(imageId)?.[1] ?? 1);
  function isKeyImage(uid, frame) {
    const frames = marked.get(uid);
    return frames !== undefined && (frames.size === 0 || frames.has(frame));
  }

  // The stack viewport that is active, and the image that it shows. A plane of a volume is no image of the archive.
  function shown({ viewportGridService, cornerstoneViewportService }) {
    const viewport = cornerstoneViewportService.getCornerstoneViewport(viewportGridService.getActiveViewportId());
    const imageId = viewport?.type === 'stack' ? viewport.getCurrentImageId() : undefined;
    const instance = imageId && window.cornerstone.metaData.get('instance', imageId);
    return instance ? { viewport, imageId, instance, frame: frameOf(imageId) } : undefined;
  }

  const isMarked = imageId =>
    isKeyImage(window.cornerstone.metaData.get('instance', imageId)?.SOPInstanceUID, frameOf(imageId));

  function commands({ servicesManager, extensionManager }) {
    const { services } = servicesManager;
    const say = (message, type) =>
      services.uiNotificationService.show({ title: 'Key image', message, type, duration: 3000 });
    const definitions = {
      vesaliusKeepKeyImage: {
        commandFn: async () => {
          const image = shown(services);
          if (!image) {
            say('This view is computed from many images: show one of them.', 'info');
            return;
          }
          const { instance, frame } = image;
          if (isKeyImage(instance.SOPInstanceUID, frame)) {
            say('It is kept already.', 'info');
            return;
          }
          try {
            await extensionManager.getActiveDataSource()[0].store.dicom(documentOf(instance, frame));
          } catch (error) {
            say('It could not be stored: ' + (error?.message ?? 'no answer'), 'error');
            return;
          }
          mark(instance.SOPInstanceUID, Number(instance.NumberOfFrames) > 1 ? [frame] : []);
          say('Kept in the archive.', 'success');
        },
      },
      vesaliusNextKeyImage: {
        commandFn: () => {
          const image = shown(services);
          const imageIds = image?.viewport.getImageIds() ?? [];
          const start = image ? image.viewport.getCurrentImageIdIndex() : 0;
          for (let step = 1; step <= imageIds.length; step += 1) {
            const index = (start + step) % imageIds.length;
            if (isMarked(imageIds[index])) {
              window.cornerstone.utilities.jumpToSlice(image.viewport.element, { imageIndex: index });
              return;
            }
          }
          say('There is none in this series.', 'info');
        },
      },
    };
    return { definitions, defaultContext: 'DEFAULT' };
  }

  // The mark in the viewport: shown as soon as the image is marked, not only when the next one is drawn.
  function Mark({ React, viewportId }) {
    React.useSyncExternalStore(
      listener => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      () => marks
    );
    const viewport = window.cornerstone.getEnabledElementByViewportId(viewportId)?.viewport;
    return viewport?.type === 'stack' && isMarked(viewport.getCurrentImageId())
      ? React.createElement('span', { style: { color: '#e8c468' }, title: 'Kept as a key image' }, 'Key image')
      : null;
  }

  window.vesaliusKeyImages = {
    React: undefined, // the viewer's own, which it hands to the function that makes its logo
    extension: {
      id: 'vesalius.key-images',
      getCommandsModule: commands,
      onModeEnter: ({ servicesManager }) => {
        const { displaySetService } = servicesManager.services;
        displaySetService.subscribe(displaySetService.EVENTS.DISPLAY_SETS_ADDED, ({ displaySetsAdded }) =>
          displaySetsAdded.forEach(one => look(one.StudyInstanceUID))
        );
      },
    },
    customizations: {
      'cornerstone.toolbarButtons': {
        $push: [
          {
            id: 'KeyImage',
            uiType: 'ohif.toolButton',
            props: {
              icon: 'tool-annotate',
              label: 'Key image',
              tooltip: 'Keep as key image (k); shift+k goes to the next',
              commands: 'vesaliusKeepKeyImage',
              evaluate: [
                'evaluate.action',
                { name: 'evaluate.viewport.supported', unsupportedViewportTypes: ['video', 'wholeSlide', 'volume3d'] },
              ],
            },
          },
        ],
      },
      'cornerstone.toolbarSections': { primary: { $push: ['KeyImage'] } },
      'ohif.hotkeyBindings': {
        $push: [
          { commandName: 'vesaliusKeepKeyImage', label: 'Key Image', keys: ['k'], isEditable: true },
          { commandName: 'vesaliusNextKeyImage', label: 'Next Key Image', keys: ['shift+k'], isEditable: true },
        ],
      },
      'viewportOverlay.bottomRight': {
        $push: [
          {
            id: 'KeyImage',
            contentF: ({ viewportId }) => {
              const { React } = window.vesaliusKeyImages;
              return React ? React.createElement(Mark, { key: 'KeyImage', React, viewportId }) : null;
            },
          },
        ],
      },
    },
  };
})();
