"use strict";
// Windows of the scans: the values that are shown black and white, by group of scans. All CT is one group.

const Contrast = (() => {
  const PRESETS = { lung: ["Lung", [-1350, 150]], soft: ["Soft tissue", [-160, 240]], bone: ["Bone", [-500, 1300]] };
  const GROUPS = { ct: "CT window", fixed: "Fixed scan", moving: "Moving scan" };

  // Groups of the scans of a page: their window, that at first, and the full range.
  function groups(volumes) {
    const found = {};
    for (const { group, window, full } of Object.values(volumes)) {
      if (group) found[group] = { window: [...window], first: window, full };
    }
    return found;
  }

  // Factor and shift from the data of a volume to greys from 0 to 255.
  function scaling(volume, [low, high]) {
    const slope = 255 / Math.max(high - low, 1e-9);
    return [slope * volume.step, slope * (volume.low - low)];
  }

  // Return a window after a drag, in fractions of a view: to the right wider, up brighter.
  function dragged([low, high], across, down) {
    const width = (high - low) * 4 ** across;
    const centre = 0.5 * (low + high) + down * (high - low);
    return [centre - 0.5 * width, centre + 0.5 * width];
  }

  // Round to about three digits of the width.
  function rounded([low, high]) {
    const unit = 10 ** Math.floor(Math.log10(Math.max(high - low, 1e-9)) - 2);
    const round = (value) => (unit < 1 ? +value.toFixed(Math.round(-Math.log10(unit))) : Math.round(value));
    return [round(low), round(high)];
  }

  // Name of the preset that a window is, if any.
  const nameOf = (window) => Object.keys(PRESETS).find((name) => PRESETS[name][1].every((value, i) => value === window[i]));

  // "W 400 L 40"
  function text(window) {
    const [low, high] = rounded(window);
    const number = (value) => String(high - low < 20 ? +value.toPrecision(4) : Math.round(value)).replace("-", "−");
    return `W ${number(high - low)} L ${number((low + high) / 2)}`;
  }

  return { PRESETS, GROUPS, groups, scaling, dragged, rounded, nameOf, text };
})();
