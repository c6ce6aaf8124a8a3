// The viewer's configuration for this server. Everything that differs between two servers stands in the attributes of
// the script element that loads this file; the viewer itself is unchanged.
(function () {
  'use strict';
  const { assets, viewer, studies, dicomWeb } = document.currentScript.dataset;

  // Where the viewer's own files lie. Its bundles and the slide viewer read these two.
  window.PUBLIC_URL = assets;
  window.PUBLIC_LIB_URL = './${component}/';
  window.browserImportFunction = name => import(name);

  const root = window.location.origin + dicomWeb;
  console.time('scriptToView'); // the viewer ends it at its first image

  // Enter and Space are keys of the viewer (accept, reset) wherever the focus is. Who came to a button by Tab means the
  // button; who clicked means the image.
  let byTab = false;
  document.addEventListener('pointerdown', () => (byTab = false), true);
  document.addEventListener('keydown', event => (byTab ||= event.key === 'Tab'), true);
  document.addEventListener('DOMContentLoaded', () =>
    document.body.addEventListener('keydown', event => {
      const pressed = event.key === 'Enter' || event.key === ' ';
      if (byTab && pressed && event.target.closest('button, a[href], [role="button"], [role^="menuitem"]')) {
        event.stopPropagation();
      }
    })
  );

  // Who is on the screen stands in every viewport, not only at the top of the window.
  const item = (id, title, read) => ({
    id,
    title,
    label: '',
    inheritsFrom: 'ohif.overlayItem',
    condition: ({ referenceInstance }) => Boolean(referenceInstance),
    contentF: ({ referenceInstance, formatters }) => read(referenceInstance, formatters) || '',
  });
  const joined = (...parts) => parts.filter(Boolean).join('  ');
  const patientName = (instance, { formatPN }) => formatPN(instance.PatientName);
  const patientFacts = (instance, { formatDate }) =>
    joined(
      instance.PatientID,
      instance.PatientSex,
      instance.PatientBirthDate && '* ' + formatDate(instance.PatientBirthDate)
    );
  const studyFacts = (instance, { formatDate, formatTime }) =>
    joined(
      instance.StudyDate && formatDate(instance.StudyDate),
      instance.StudyTime && formatTime(instance.StudyTime),
      instance.AccessionNumber && '# ' + instance.AccessionNumber
    );
  const sideAndView = instance =>
    joined(
      instance.ImageLaterality || instance.Laterality,
      instance.ViewPosition || [].concat(instance.ViewCodeSequence ?? [])[0]?.CodeMeaning
    );
  const lossy = instance =>
    instance.LossyImageCompression === '01' &&
    joined('lossy', [].concat(instance.LossyImageCompressionRatio ?? []).map(ratio => Number(ratio) + ':1').join(', '));
  const overlays = {
    'viewportOverlay.topLeft': {
      $set: [item('Patient', 'Patient', patientName), item('PatientFacts', 'ID, sex, birth date', patientFacts)],
    },
    'viewportOverlay.topRight': {
      $set: [
        item('Study', 'Study date and time, accession number', studyFacts),
        item('StudyDescription', 'Study description', instance => instance.StudyDescription),
        item('SeriesDescription', 'Series description', instance => instance.SeriesDescription),
        item('SideAndView', 'Side and view', sideAndView),
      ],
    },
    'viewportOverlay.bottomLeft': { $push: [item('Lossy', 'Compressed with loss when it came', lossy)] },
  };

  window.config = {
    name: 'vesalius',
    routerBasename: viewer,
    extensions: [
      window.vesaliusLayouts.extension,
      window.vesaliusKeyImages.extension,
      window.vesaliusSegmentations.extension,
    ],
    modes: [],
    // No tour at the first study: it lies over the images.
    customizationService: [{ 'ohif.tours': { $set: [] }, ...overlays, ...window.vesaliusKeyImages.customizations }],
    showPatientInfo: 'visibleReadOnly',
    showStudyList: true,
    showWarningMessageForCrossOrigin: false,
    showCPUFallbackMessage: true,
    showLoadingIndicator: true,
    strictZSpacingForVolumeViewport: true,
    groupEnabledModesFirst: true,
    showErrorDetails: 'production',
    maxNumberOfWebWorkers: Math.min(4, Math.max(2, navigator.hardwareConcurrency - 1)),
    maxNumRequests: { interaction: 100, thumbnail: 6, prefetch: 25 },
    // Said once in thirty days, not at every study: neither the viewer nor Vesalius is a certified medical device.
    investigationalUseDialog: { option: 'configure', days: 30 },
    whiteLabeling: {
      createLogoComponentFn: React => {
        window.vesaliusKeyImages.React = React;
        const look = { href: studies, title: 'Studies', className: 'text-foreground text-lg' };
        return React.createElement('a', look, 'Vesalius');
      },
    },
    defaultDataSourceName: 'vesalius',
    dataSources: [
      {
        namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
        sourceName: 'vesalius',
        configuration: {
          friendlyName: 'Vesalius',
          name: 'vesalius',
          wadoUriRoot: root,
          qidoRoot: root,
          wadoRoot: root,
          qidoSupportsIncludeField: true,
          supportsReject: false,
          supportsFuzzyMatching: false,
          supportsWildcard: true,
          dicomUploadEnabled: false,
          enableStudyLazyLoad: true,
          imageRendering: 'wadors',
          thumbnailRendering: 'thumbnail',
          thumbnailRequestStrategy: 'fetch',
          staticWado: false,
          singlepart: 'bulkdata,video,pdf',
          bulkDataURI: { enabled: true },
          omitQuotationForMultipartRequest: false,
        },
      },
    ],
  };
})();
