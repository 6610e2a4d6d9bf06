"use strict";
// Values at a point as text, and legends of the colours.

function readout(model, point) {
  const { volumes } = model;
  const parts = [];
  if (model.world) parts.push(`${[0, 1, 2].map((axis) => model.coordinate(point, axis).join(" ")).join(" &nbsp;")} mm`);
  const shape = [...model.shape].reverse();
  const at = (volume, component) => Volumes.value(volume, point, shape, component);
  const other = model.mode === "before" || model.mode === "warped" ? model.mode : model.against;
  for (const [name, text] of [["fixed", "fixed"], [other, other === "warped" ? "registered" : "before"]]) {
    const [scan, labels] = [volumes[name], volumes[model.outlines[name]]];
    const found = [];
    if (scan?.group) found.push(grey(scan, at(scan)));
    if (labels) found.push(model.label(at(labels)).replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`));
    if (found.length) parts.push(`${text} <b>${found.join(" · ")}</b>`);
  }
  if (volumes.displacement) {
    const { components, step } = volumes.displacement;
    const u = Array.from({ length: components }, (_, c) => step * at(volumes.displacement, c));
    parts.push(`moves <b>${Math.hypot(...u).toFixed(1)} mm</b>`);
  }
  if (volumes.jacobian) {
    const log = (at(volumes.jacobian) / 127.5 - 1) * volumes.jacobian.top;
    const folded = volumes.folds && at(volumes.folds);
    parts.push(folded ? `<b class="fold">fold${folded > 1 ? "" : " outside the body"}</b>` : `det J <b>${Math.exp(log).toFixed(2)}</b>`);
  }
  if (volumes.uncertainty) {
    const deviation = (at(volumes.uncertainty) / 255) * volumes.uncertainty.top;
    parts.push(`uncertain by <b>${deviation.toFixed(1)} mm</b>`);
  }
  const said = Points.said(model, point);
  if (said) parts.push(said);
  return parts.map((part) => `<span>${part}</span>`).join("");
}

// Return the value of a scan: CT to the Hounsfield unit, other scans to the precision of 256 greys.
function grey(scan, data) {
  const [low, high] = [scan.ranges[0][0], scan.ranges[scan.ranges.length - 1][1]];
  const value = scan.low + scan.step * data;
  const step = scan.ranges.length > 1 ? 1 : 10 ** Math.floor(Math.log10((high - low) / 100));
  const sign = value <= low ? "≤ " : value >= high ? "≥ " : "";
  const text = step < 1 ? value.toFixed(Math.round(-Math.log10(step))) : String(Math.round(value / step) * step);
  return (sign + text).replace("-", "−");
}

function legends(model, page) {
  const bar = (mode, stops, low, high, title) =>
    `<div class="legend" data-modes="${mode}"><span>${low}</span><div class="scale">
      <div class="bar" style="background:linear-gradient(90deg,${stops.join(",")})"></div><small>${title}</small></div>
      <span>${high}</span></div>`;
  const chip = (colour, text) => `<span class="chip"><i style="background:${colour}"></i>${text}</span>`;
  const { displacement, jacobian, uncertainty, folds } = model.volumes;
  const parts = [
    `<div class="legend" data-modes="both">${chip("#ff8000", "brighter in the fixed scan")}
      ${chip("#0080ff", "brighter in the moving scan")}<span>grey: they agree</span></div>`,
  ];
  if (displacement)
    parts.push(bar("displacement", page.palettes.length, "0", `${displacement.top} mm`, "length of the displacement"));
  if (jacobian) {
    const most = Math.exp(model.jacobianTop()).toPrecision(2);
    const what = page.views.length > 1 || page.views[0].marks ? "volume" : "area";
    const other = model.wideJacobian ? `÷ ${Math.exp(jacobian.shown).toPrecision(2)} … × ${Math.exp(jacobian.shown).toPrecision(2)}, of this pair` : "÷ 2 … × 2, to compare pairs";
    parts.push(
      bar("jacobian", page.palettes.jacobian, `÷ ${most}`, `× ${most}`, `${what} of the moving tissue over that of the fixed tissue, det J`),
      `<div class="legend" data-modes="jacobian"><span>÷: moving tissue smaller, ×: larger</span>
        <button type="button" class="chip" id="jacobian-scale" title="key J">Scale ${other}</button></div>`,
    );
  }
  if (uncertainty)
    parts.push(bar("uncertainty", page.palettes.length, "0", `${uncertainty.top} mm`, "standard deviation of the displacement"));
  if (folds) parts.push(`<div class="legend">${chip(page.palettes.fold, "fold, det J ≤ 0; hollow: outside the body")}</div>`);
  for (const [kind, text] of [["landmarks", "landmark"], ["keypoints", "key point"]]) {
    if (page.points[kind]) parts.push(`<div class="legend"><span class="chip"><i class="ring"></i>${text}, fixed</span>${chip(Points.COLOURS[kind], "the same in the other scan; line: error")}</div>`);
  }
  if (Object.keys(model.volumes).some((name) => name.endsWith("_mask")))
    parts.push('<div class="legend"><span>dashed: masks, white of the fixed scan, blue of the moving scan</span></div>');
  return parts.join("");
}
