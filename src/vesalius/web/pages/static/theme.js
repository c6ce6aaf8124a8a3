// Before the first paint: the theme and density that were chosen here.
(function () {
  'use strict';
  const root = document.documentElement;
  try {
    const theme = localStorage.getItem('theme');
    if (theme === 'dark' || theme === 'light') root.dataset.theme = theme;
    if (localStorage.getItem('density') === 'comfortable') root.dataset.density = 'comfortable';
  } catch { /* no storage: the system's choice */ }
})();
