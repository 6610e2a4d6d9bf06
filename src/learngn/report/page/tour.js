"use strict";
// Goes through the places worth a look: slices with folds, landmarks with large errors.

function tourOf(model) {
  let fold = 0;
  let landmark = 0;
  let slices = []; // that have folds, those with most folds inside the body first
  const { folds } = model.volumes;

  if (folds) {
    const [nz, ny, nx] = folds.shape;
    const inside = new Array(nz).fill(0);
    model.foldCounts = [nx, ny, nz].map((n) => new Array(n).fill(0));
    for (let z = 0, i = 0; z < nz; z++)
      for (let y = 0; y < ny; y++)
        for (let x = 0; x < nx; x++, i++) {
          if (!folds.data[i]) continue;
          [x, y, z].forEach((index, axis) => model.foldCounts[axis][index]++);
          inside[z] += folds.data[i] > 1;
        }
    const counts = model.foldCounts[2];
    slices = counts.map((_, z) => z).filter((z) => counts[z]).sort((a, b) => inside[b] - inside[a] || counts[b] - counts[a]);
  }

  // Go to the fold nearest to the middle of the next slice's folds; those inside the body come first.
  function nextFold() {
    const z = slices[fold++ % slices.length];
    const [, ny, nx] = folds.shape;
    const plane = folds.data.subarray(z * ny * nx, (z + 1) * ny * nx);
    const kind = plane.includes(2) ? 2 : 1;
    const found = [];
    plane.forEach((code, i) => code === kind && found.push([i % nx, Math.floor(i / nx)]));
    const middle = [0, 1].map((a) => found.reduce((sum, p) => sum + p[a], 0) / found.length);
    const distance = (p) => Math.hypot(p[0] - middle[0], p[1] - middle[1]);
    const nearest = found.reduce((best, p) => (distance(p) < distance(best) ? p : best));
    model.go([...nearest, z]);
    model.layers.folds = true;
  }

  // Go to the landmark with the next smaller error.
  function nextLandmark() {
    const { landmarks } = model.points;
    const order = Points.byError(landmarks, model.against);
    model.go(landmarks.fixed[order[landmark++ % order.length]]);
    model.layers.landmarks = true;
  }

  return { nextFold, nextLandmark };
}
