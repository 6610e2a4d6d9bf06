"use strict";
// Landmarks and key points of a view, with their errors: a ring for the fixed scan, a dot where the other scan has the
// same point, and a line between them.

const Points = (() => {
  const COLOURS = { landmarks: "#ffb000", keypoints: "#b58cff" };
  const NAMES = { landmarks: "landmark", keypoints: "key point" };
  const REACH = 2.5; // [mm] from the slice, at least
  const MANY = 14; // points in a slice, above which their errors are not written

  // Errors of points [mm] against the scan that is compared: null without it.
  const errors = (points, against) => points[`errors_${against}`] || null;

  // Return the points near a slice: their index, and how near they are, from 1 on the slice to 0.
  function near(points, against, axis, index, size) {
    const reach = Math.max(REACH, 0.75 * size);
    const others = points[against] || points.fixed;
    return points.fixed
      .map((fixed, i) => [i, 1 - (Math.min(Math.abs(fixed[axis] - index), Math.abs(others[i][axis] - index)) * size) / reach])
      .filter(([, part]) => part > 0);
  }

  function draw(view, kind) {
    const { model, context, ratio, spec } = view;
    const points = model.points[kind];
    const against = ALONE.includes(model.mode) && model.mode !== "fixed" ? model.mode : model.against;
    const shown = near(points, against, spec.through, view.index, view.depth > 1 ? model.spacing[spec.through] : 0);
    const known = errors(points, against);
    const size = (kind === "landmarks" ? 4.5 : 2.5) * ratio;
    for (const [i, part] of shown) {
      context.globalAlpha = 0.35 + 0.65 * part;
      const from = view.placeOf(points.fixed[i]);
      const to = points[against] && view.placeOf(points[against][i]);
      if (to) {
        const path = new Path2D(`M${from.join(" ")}L${to.join(" ")}`);
        view.line(path, "rgb(0 0 0 / 0.6)", 3.4);
        view.line(path, COLOURS[kind], 1.8);
        const dot = new Path2D();
        dot.arc(...to, 0.55 * size, 0, 2 * Math.PI);
        context.fillStyle = COLOURS[kind];
        context.fill(dot);
      }
      const ring = new Path2D();
      ring.arc(...from, size, 0, 2 * Math.PI);
      view.line(ring, "rgb(0 0 0 / 0.6)", 3.4);
      view.line(ring, "#fff", 1.6);
      if (known && kind === "landmarks" && shown.length <= MANY && view.width > 270 * ratio)
        view.text(`${points.numbers[i]}: ${known[i].toFixed(1)} mm`, from[0] + 1.6 * size, from[1] - size);
    }
    context.globalAlpha = 1;
  }

  // Return the points from the largest error to the smallest.
  function byError(points, against) {
    const known = errors(points, against) || errors(points, "before");
    return points.numbers.map((_, i) => i).sort((a, b) => known[b] - known[a]);
  }

  // Say which point is within a few mm of a place (x, y, z).
  function said(model, place) {
    for (const [kind, points] of Object.entries(model.points || {})) {
      const distance = (point) => Math.hypot(...point.map((value, axis) => (value - place[axis]) * model.spacing[axis]));
      const nearest = points.fixed.reduce((best, point, i) => (distance(point) < distance(points.fixed[best]) ? i : best), 0);
      if (distance(points.fixed[nearest]) > Math.max(4, 1.2 * Math.max(...model.spacing.slice(0, 2)))) continue;
      const texts = ["before", "warped"].filter((name) => errors(points, name)).map((name) => errors(points, name)[nearest].toFixed(1));
      return `${NAMES[kind]} ${points.numbers[nearest]}: <b>${texts.join(" → ")} mm</b>`;
    }
    return "";
  }

  return { COLOURS, near, draw, byError, said };
})();
