"use strict";
// State that the views of one pair share: volumes, slices, and display options.

const NAMES = { R: "right", L: "left", A: "anterior", P: "posterior", S: "superior", I: "inferior" };
const SHORT = { fixed: "fixed", warped: "registered", before: "moving, before" };
const COLOURS = ["displacement", "jacobian", "uncertainty"];
const ALONE = ["fixed", "warped", "before"];
const OTHERS = [200, 200, 200]; // all labels beyond the 254th

function modelOf(page) {
  const known = page.labels.slice(0, 254).map((label) => label.colour);
  const model = {
    ...page,
    volumes: {},
    at: [...page.start],
    mode: "swipe",
    against: page.volumes.warped ? "warped" : "before",
    phase: 0, // of the flicker: 0 for the fixed scan, 1 for the other
    layers: { outlines: true, grid: false, folds: true, landmarks: true, keypoints: false, masks: true, cross: false },
    swipe: 0.5,
    opacity: 0.8,
    sight: Zoom.WHOLE,
    hidden: new Set(),
    look: 0, // changes with windows and scales, to invalidate the cached slices
    contrast: Contrast.groups(page.volumes),
    wideJacobian: false, // on the scale from a half to twice the volume
    colours: [null, ...known.map(Drawing.rgb)],
    css: ["", ...known],
    palettes: {
      length: Drawing.scale(page.palettes.length),
      jacobian: Drawing.scale(page.palettes.jacobian),
      uncertainty: Drawing.scale(page.palettes.length),
      fold: page.palettes.fold,
    },
    // Scans that are drawn, in the order in which they are compared.
    sides() {
      if (ALONE.includes(model.mode)) return [model.mode];
      if (model.mode === "flicker") return [model.phase ? model.against : "fixed"];
      return COLOURS.includes(model.mode) ? ["fixed"] : ["fixed", model.against];
    },
    // End of the scale of the log Jacobian.
    jacobianTop: () => (model.wideJacobian ? Math.LN2 : model.volumes.jacobian.shown),
    // Letter and distance [mm] along an axis of the world, RAS.
    coordinate(point, axis) {
      const mm = page.world[axis].reduce((sum, w, i) => sum + w * [...point, 1][i], 0);
      return [["RL", "AP", "SI"][axis][mm < 0 ? 1 : 0], Math.abs(mm).toFixed(1)];
    },
    // Go to a point, and keep it in view.
    go(point) {
      const size = [...page.shape].reverse();
      model.at = point.map((value, axis) => Math.min(size[axis] - 1, Math.max(0, Math.round(value))));
      model.sight = Zoom.revealing(model.sight, model.at.map((value, axis) => (value + 0.5) / size[axis]));
    },
    label(code) {
      return code ? (page.labels[code - 1] || { name: "another label" }).name : "–";
    },
  };
  model.colours[255] = OTHERS;
  model.css[255] = `rgb(${OTHERS})`;
  return model;
}
