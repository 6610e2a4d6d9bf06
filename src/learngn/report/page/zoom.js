"use strict";
// Zoom and pan, which all views share: a factor, and a centre in fractions of the volume along x, y and z.

const Zoom = (() => {
  const MOST = 32;
  const WHOLE = { zoom: 1, centre: [0.5, 0.5, 0.5] };

  // Keep the centre where the slice fills the view.
  const inside = (centre, zoom) => centre.map((c) => Math.min(1 - 0.5 / zoom, Math.max(0.5 / zoom, c)));

  // Return zoom and centre after zooming by a factor about a place, in fractions of the axes `across` and `down`.
  function about({ zoom, centre }, factor, axes, place) {
    const next = Math.min(MOST, Math.max(1, zoom * factor));
    const moved = [...centre];
    axes.forEach((axis, i) => (moved[axis] = place[i] - ((place[i] - centre[axis]) * zoom) / next));
    return { zoom: next, centre: inside(moved, next) };
  }

  // Return zoom and centre after a drag, in fractions of a view.
  function panned({ zoom, centre }, axes, drag) {
    const moved = [...centre];
    axes.forEach((axis, i) => (moved[axis] -= drag[i] / zoom));
    return { zoom, centre: inside(moved, zoom) };
  }

  // Return zoom and centre such that a place, in fractions, is in view: the centre moves only if it is not.
  function revealing({ zoom, centre }, place) {
    const moved = centre.map((c, axis) => (Math.abs(place[axis] - c) > 0.46 / zoom ? place[axis] : c));
    return { zoom, centre: inside(moved, zoom) };
  }

  // Return where the whole slice lies in a picture of this size.
  function box({ zoom, centre }, [across, down], width, height) {
    const [w, h] = [width * zoom, height * zoom];
    return { x: width / 2 - centre[across] * w, y: height / 2 - centre[down] * h, w, h };
  }

  return { WHOLE, about, panned, revealing, box };
})();
