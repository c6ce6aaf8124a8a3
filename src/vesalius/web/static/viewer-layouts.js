// How studies are laid out (hanging protocols) where the viewer has no arrangement of its own, or one that guesses. The
// server names one in the address by what the study holds; the others are at hand in the layout menu.
(function () {
  'use strict';
  const first = value => [].concat(value ?? [])[0];
  const CRANIO_CAUDAL = ['399162004', 'R-10242']; // SNOMED CT, and SNOMED RT of older machines (PS3.16 CID 4014)
  const OBLIQUE = ['399368009', 'R-10226'];

  // Side and view of a mammogram as its header says them: "RCC", "LMLO"; undefined for everything else. Its place on the
  // screen follows from this alone: an image whose header does not say it hangs nowhere by chance.
  function mammogram(displaySet) {
    const image = displaySet?.images?.[0] ?? displaySet?.instances?.[0];
    const anatomy = first(first(image?.SharedFunctionalGroupsSequence)?.FrameAnatomySequence);
    const side = first(image?.ImageLaterality) ?? first(image?.Laterality) ?? anatomy?.FrameLaterality;
    const code = first(image?.ViewCodeSequence)?.CodeValue;
    const position = first(image?.ViewPosition);
    const view =
      CRANIO_CAUDAL.includes(code) || (!code && position === 'CC')
        ? 'CC'
        : OBLIQUE.includes(code) || (!code && position === 'MLO')
          ? 'MLO'
          : undefined;
    return (side === 'R' || side === 'L') && view ? side + view : undefined;
  }

  const hasImages = { attribute: 'numImageFrames', constraint: { greaterThan: { value: 0 } }, required: true };
  const named = { attribute: 'isDisplaySetFromUrl', weight: 20, constraint: { equals: true } };
  const images = { seriesMatchingRules: [hasImages, named] };
  const volume = {
    seriesMatchingRules: [
      hasImages,
      named,
      { attribute: 'isReconstructable', constraint: { equals: { value: true } }, weight: 10 },
      { attribute: 'numImageFrames', constraint: { greaterThan: { value: 10 } }, weight: 5 },
    ],
  };
  const view = (name, study) => ({
    seriesMatchingRules: [
      { attribute: 'vesaliusMammogram', constraint: { equals: { value: name } }, weight: 10, required: true },
    ],
    studyMatchingRules: [
      { attribute: 'studyInstanceUIDsIndex', from: 'options', constraint: { equals: { value: study } }, required: true },
    ],
  });

  const pane = (id, index = 0, options = {}) => ({
    viewportOptions: {
      viewportType: 'stack',
      toolGroupId: 'default',
      allowUnmatchedView: true,
      initialImageOptions: { preset: 'middle' },
      ...options,
    },
    displaySets: [{ id, matchedDisplaySetsIndex: index }],
  });
  // Right breasts hang on the left with the chest wall towards the middle, left ones mirrored to them.
  const breast = id => {
    const wall = id.startsWith('R') ? 1 : 0;
    const imageCanvasPoint = { imagePoint: [wall, 0.5], canvasPoint: [wall, 0.5] };
    return pane(id, 0, { displayArea: { storeAsInitialCamera: true, imageArea: [0.9, 0.9], imageCanvasPoint } });
  };
  const stage = (id, rows, columns, viewports) => ({
    id,
    name: `${rows} x ${columns}`,
    stageActivation: { enabled: { minViewportsMatched: viewports.length } },
    viewportStructure: { layoutType: 'grid', properties: { rows, columns } },
    viewports,
  });
  const series = count => Array.from({ length: count }, (_, index) => pane('image', index));
  const protocol = (id, name, modalities, displaySetSelectors, stages) => ({
    id,
    name,
    description: name,
    isPreset: true,
    numberOfPriorsReferenced: 0,
    toolGroupIds: ['default'],
    protocolMatchingRules: [{ id, weight: 1, attribute: 'ModalitiesInStudy', constraint: { contains: modalities } }],
    displaySetSelectors,
    defaultViewport: pane(Object.keys(displaySetSelectors)[0], -1),
    stages,
  });

  const views = ['RCC', 'LCC', 'RMLO', 'LMLO'];
  const prior = name => name + '-prior';
  const mammograms = Object.fromEntries([
    ...views.map(name => [name, view(name, 0)]),
    ...views.map(name => [prior(name), view(name, 1)]),
  ]);
  const protocols = [
    protocol('vesalius.ct', 'CT', ['CT'], { image: volume }, [stage('one', 1, 1, series(1))]),
    protocol('vesalius.mr', 'MR, series side by side', ['MR'], { image: images }, [
      stage('four', 2, 2, series(4)),
      stage('two', 1, 2, series(2)),
      stage('one', 1, 1, series(1)),
    ]),
    protocol('vesalius.cr', 'Radiographs', ['CR', 'DX', 'MG'], { image: images }, [
      stage('two', 1, 2, series(2)),
      stage('one', 1, 1, series(1)),
    ]),
    protocol('vesalius.mg', 'Mammograms', ['MG'], mammograms, [
      stage('four', 2, 2, views.map(breast)),
      stage('prior', 2, 4, [...views, ...views.map(prior)].map(breast)),
    ]),
  ];

  window.vesaliusLayouts = {
    extension: {
      id: 'vesalius.layouts',
      preRegistration: ({ servicesManager }) =>
        servicesManager.services.hangingProtocolService.addCustomAttribute(
          'vesaliusMammogram',
          'Side and view of a mammogram',
          mammogram
        ),
      getHangingProtocolModule: () => protocols.map(one => ({ name: one.id, protocol: one })),
    },
  };
})();
