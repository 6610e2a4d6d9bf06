"use strict";
// State that the views of one pair share: volumes, slices, and display options.

const NAMES = { R: "right", L: "left", A: "anterior", P: "posterior", S: "superior", I: "inferior" };
const SHORT = { warped: "registered", before: "before" };
const COLOURS = ["displacement", "jacobian", "uncertainty"];
const OTHERS = [200, 200, 200]; // all labels beyond the 254th

function modelOf(page) {
  const known = page.labels.slice(0, 254).map((label) => label.colour);
  const model = {
    ...page,
    volumes: {},
    at: [...page.start],
    mode: "swipe",
    against: page.volumes.warped ? "warped" : "before",
    layers: { outlines: true, grid: false, folds: true, cross: page.views.length > 1 },
    swipe: 0.5,
    opacity: 0.8,
    hidden: new Set(),
    look: 0, // changes with brightness and contrast, to invalidate the cached slices
    greys: Drawing.greys(0, 0),
    colours: [null, ...known.map(Drawing.rgb)],
    css: ["", ...known],
    palettes: {
      length: Drawing.scale(page.palettes.length),
      jacobian: Drawing.scale(page.palettes.jacobian),
      uncertainty: Drawing.scale(page.palettes.length),
      fold: page.palettes.fold,
    },
    // Letter and distance [mm] along an axis of the world, RAS.
    coordinate(point, axis) {
      const mm = page.world[axis].reduce((sum, w, i) => sum + w * [...point, 1][i], 0);
      return [["RL", "AP", "SI"][axis][mm < 0 ? 1 : 0], Math.abs(mm).toFixed(1)];
    },
    label(code) {
      return code ? (page.labels[code - 1] || { name: "another label" }).name : "–";
    },
  };
  model.colours[255] = OTHERS;
  model.css[255] = `rgb(${OTHERS})`;
  return model;
}
