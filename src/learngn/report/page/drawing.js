"use strict";
// Drawing of slices as pixels: grey, filled labels, colour scales, outlines, the deformed grid.

const Drawing = (() => {
  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

  // Return 256 colours of a scale, as bytes.
  function scale(stops) {
    const colours = stops.map(rgb);
    const table = new Uint8ClampedArray(768);
    for (let i = 0; i < 256; i++) {
      const at = (i / 255) * (colours.length - 1);
      const low = Math.min(Math.floor(at), colours.length - 2);
      for (let c = 0; c < 3; c++) table[3 * i + c] = colours[low][c] + (at - low) * (colours[low + 1][c] - colours[low][c]);
    }
    return table;
  }

  function picture(columns, rows, paint) {
    const canvas = document.createElement("canvas");
    canvas.width = columns;
    canvas.height = rows;
    const context = canvas.getContext("2d");
    const image = context.createImageData(columns, rows);
    paint(image.data);
    context.putImageData(image, 0, 0);
    return canvas;
  }

  // Draw values as greys: scale * value + shift.
  const grey = (slice, [scale, shift]) =>
    picture(slice.columns, slice.rows, (out) => {
      for (let i = 0, o = 0; i < slice.data.length; i++, o += 4) {
        out[o] = out[o + 1] = out[o + 2] = scale * slice.data[i] + shift;
        out[o + 3] = 255;
      }
    });

  // Draw colours, given as slices of red, green and blue: scale * value + shift.
  const painted = (channels, [scale, shift]) =>
    picture(channels[0].columns, channels[0].rows, (out) => {
      for (let i = 0, o = 0; o < out.length; i++, o += 4) {
        for (let c = 0; c < 3; c++) out[o + c] = scale * channels[c].data[i] + shift;
        out[o + 3] = 255;
      }
    });

  // Draw filled labels, darker than their outlines.
  const filled = (slice, colours) =>
    picture(slice.columns, slice.rows, (out) => {
      for (let i = 0, o = 0; i < slice.data.length; i++, o += 4) {
        const colour = colours[slice.data[i]];
        for (let c = 0; c < 3; c++) out[o + c] = colour ? 0.62 * colour[c] : 0;
        out[o + 3] = 255;
      }
    });

  // Overlay two slices: orange where the first is brighter, blue where the second is, grey where they agree.
  const both = (first, second, [scale, shift], [otherScale, otherShift]) =>
    picture(first.columns, first.rows, (out) => {
      for (let i = 0, o = 0; i < first.data.length; i++, o += 4) {
        out[o] = scale * first.data[i] + shift;
        out[o + 2] = otherScale * second.data[i] + otherShift;
        out[o + 1] = 0.5 * (out[o] + out[o + 2]);
        out[o + 3] = 255;
      }
    });

  // Draw values from 0 to 1 as colours.
  const coloured = (columns, rows, table, fraction) =>
    picture(columns, rows, (out) => {
      for (let i = 0, o = 0; i < rows * columns; i++, o += 4) {
        const entry = 3 * Math.round(255 * Math.min(1, Math.max(0, fraction(i))));
        out[o] = table[entry];
        out[o + 1] = table[entry + 1];
        out[o + 2] = table[entry + 2];
        out[o + 3] = 255;
      }
    });

  // Return the outlines of every label of a slice by marching squares, in pixels, with slightly rounded corners.
  function outlines(slice) {
    const { data, rows, columns } = slice;
    const boxes = new Map();
    for (let r = 0, i = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++, i++) {
        const code = data[i];
        if (!code) continue;
        const box = boxes.get(code);
        if (!box) boxes.set(code, [r, r, c, c]);
        else {
          box[1] = r;
          if (c < box[2]) box[2] = c;
          if (c > box[3]) box[3] = c;
        }
      }
    }
    return new Map([...boxes].map(([code, box]) => [code, outline(data, columns, code, box)]));
  }

  function outline(data, stride, code, [top, bottom, left, right]) {
    // A margin of two pixels: one for the rounding, one that closes the outlines.
    const [height, width] = [bottom - top + 5, right - left + 5];
    const mask = new Float32Array(height * width);
    for (let r = top; r <= bottom; r++) {
      for (let c = left; c <= right; c++) if (data[r * stride + c] === code) mask[(r - top + 2) * width + c - left + 2] = 1;
    }
    const soft = new Float32Array(mask.length);
    const across = new Float32Array(mask.length);
    for (let i = 1; i < mask.length - 1; i++) across[i] = 0.75 * mask[i] + 0.125 * (mask[i - 1] + mask[i + 1]);
    for (let i = width; i < mask.length - width; i++)
      soft[i] = 0.75 * across[i] + 0.125 * (across[i - width] + across[i + width]);
    const path = new Path2D();
    // The centre of a sample is half a pixel inside.
    const [x0, y0] = [left - 1.5, top - 1.5];
    for (let r = 0; r < height - 1; r++) {
      for (let c = 0; c < width - 1; c++) {
        const i = r * width + c;
        const [a, b, d, e] = [soft[i], soft[i + 1], soft[i + width + 1], soft[i + width]];
        const kind = (a > 0.5) | ((b > 0.5) << 1) | ((d > 0.5) << 2) | ((e > 0.5) << 3);
        if (kind === 0 || kind === 15) continue;
        const cut = (p, q) => (0.5 - p) / (q - p);
        const side = [
          () => [c + cut(a, b), r],
          () => [c + 1, r + cut(b, d)],
          () => [c + cut(e, d), r + 1],
          () => [c, r + cut(a, e)],
        ];
        for (const [from, to] of SEGMENTS[kind]) {
          const [p, q] = [side[from](), side[to]()];
          path.moveTo(p[0] + x0, p[1] + y0);
          path.lineTo(q[0] + x0, q[1] + y0);
        }
      }
    }
    return path;
  }

  // Sides (top, right, bottom, left) where an outline enters and leaves; the bits are the corners in the same order.
  const SEGMENTS = [
    [], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], [[3, 0], [1, 2]], [[0, 2]], [[3, 2]],
    [[2, 3]], [[2, 0]], [[0, 1], [2, 3]], [[2, 1]], [[1, 3]], [[1, 0]], [[0, 3]], [],
  ]; // prettier-ignore

  // Return a lattice deformed by the displacement, minus the slice's median shift, in mm.
  function lattice(right, down, size) {
    const { rows, columns } = right;
    const [dx, dy] = [size[0] / columns, size[1] / rows];
    const middle = (values) => Float32Array.from(values).sort()[values.length >> 1];
    const [mx, my] = [middle(right.data), middle(down.data)];
    const path = new Path2D();
    const gap = Math.max(...size) / 30;
    const lines = (extent) => {
      const count = Math.max(2, Math.round(extent / gap));
      return Array.from({ length: count + 1 }, (_, i) => (i * extent) / count);
    };
    const sample = (values, r, c) => {
      const [y, x] = [Math.min(Math.max(r, 0), rows - 1), Math.min(Math.max(c, 0), columns - 1)];
      const [i, j] = [Math.min(Math.floor(y), Math.max(rows - 2, 0)), Math.min(Math.floor(x), Math.max(columns - 2, 0))];
      const [s, t] = [y - i, x - j];
      const at = (a, b) => values[Math.min(a, rows - 1) * columns + Math.min(b, columns - 1)];
      return (1 - s) * ((1 - t) * at(i, j) + t * at(i, j + 1)) + s * ((1 - t) * at(i + 1, j) + t * at(i + 1, j + 1));
    };
    const visit = (x, y, first) => {
      const [r, c] = [y / dy - 0.5, x / dx - 0.5];
      path[first ? "moveTo" : "lineTo"](x + sample(right.data, r, c) - mx, y + sample(down.data, r, c) - my);
    };
    for (const x of lines(size[0])) for (let i = 0; i <= rows; i++) visit(x, i * dy, i === 0);
    for (const y of lines(size[1])) for (let i = 0; i <= columns; i++) visit(i * dx, y, i === 0);
    return path;
  }

  return { rgb, scale, grey, painted, filled, both, coloured, outlines, lattice };
})();
