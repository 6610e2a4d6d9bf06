"use strict";
// Unpacks the volumes of the page: JPEG of scans, gzip of everything that must be exact.

const Volumes = (() => {
  function bytesOf(identity) {
    const node = document.getElementById(identity);
    const text = atob(node.textContent);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    node.remove(); // frees memory: the text is three times as large as its content
    return bytes;
  }

  async function unzip(bytes) {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  async function exact(spec, bytes) {
    const Kind = spec.type === "Int16" ? Int16Array : Uint8Array;
    return new Kind(await unzip(bytes));
  }

  // Sum differences along x; overflow wraps, as in the differences.
  async function smooth(spec, bytes) {
    const data = await exact(spec, bytes);
    const nx = spec.shape[2];
    for (let row = 0; row < data.length; row += nx) {
      for (let i = row + 1; i < row + nx; i++) data[i] += data[i - 1];
    }
    return data;
  }

  // Unpack one JPEG of all slices side by side.
  async function mosaic(spec, bytes) {
    const [nz, ny, nx] = spec.shape;
    const [height, width] = spec.tile;
    const picture = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
    const count = nz * ny * nx;
    const data = new Uint8Array(count);
    const colours = spec.colour ? new Uint8Array(3 * count) : null; // red, green and blue, one after the other
    const canvas = document.createElement("canvas");
    canvas.width = picture.width;
    canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    for (let first = 0; first < nz; first += spec.columns) {
      context.drawImage(picture, 0, -(first / spec.columns) * height);
      const pixels = context.getImageData(0, 0, picture.width, height).data;
      for (let tile = 0; tile < spec.columns && first + tile < nz; tile++) {
        for (let y = 0; y < ny; y++) {
          let from = 4 * (y * picture.width + tile * width);
          let to = ((first + tile) * ny + y) * nx;
          for (let x = 0; x < nx; x++, from += 4, to++) {
            const [r, g, b] = [pixels[from], pixels[from + 1], pixels[from + 2]];
            data[to] = colours ? 0.299 * r + 0.587 * g + 0.114 * b : r;
            if (!colours) continue;
            colours[to] = r;
            colours[count + to] = g;
            colours[2 * count + to] = b;
          }
        }
      }
    }
    picture.close();
    return { data, colours };
  }

  // Unpack a scan: its values are low + step * data. CT has four ranges, and its data are Hounsfield units.
  async function scan(spec, bytes) {
    const greys = [];
    let at = 0;
    for (const [, , size] of spec.ranges) {
      greys.push(await mosaic(spec, bytes.subarray(at, at + size)));
      at += size;
    }
    const [low, high] = spec.ranges[0];
    if (greys.length > 1) return { data: joined(greys.map((grey) => grey.data), spec.ranges), low: 0, step: 1 };
    return { ...greys[0], low, step: (high - low) / 255 };
  }

  // Join the greys of lung, soft tissue, and ranges of bone to Hounsfield units. A range counts where its grey is well
  // inside, as the edges of JPEG spill over; soft tissue counts elsewhere.
  function joined([lung, soft, bone, metal], ranges) {
    const [air, tissue, dense, densest] = ranges.map(([low, high]) => Int16Array.from({ length: 256 }, (_, grey) => Math.round(low + (grey / 255) * (high - low))));
    const data = new Int16Array(lung.length);
    for (let i = 0; i < data.length; i++) {
      if (lung[i] < 230) data[i] = air[lung[i]];
      else if (metal[i] > 15) data[i] = densest[metal[i]];
      else data[i] = bone[i] > 15 ? dense[bone[i]] : tissue[soft[i]];
    }
    return data;
  }

  const only = (unpacked) => async (spec, bytes) => ({ data: await unpacked(spec, bytes) });
  const unpack = { scan, codes: only(exact), smooth: only(smooth) };

  // Load all volumes of a description from the elements PREFIX-NAME.
  async function load(specs, prefix = "volume") {
    const names = Object.keys(specs);
    const all = await Promise.all(names.map((name) => unpack[specs[name].kind](specs[name], bytesOf(`${prefix}-${name}`))));
    return Object.fromEntries(names.map((name, i) => [name, { ...specs[name], ...all[i] }]));
  }

  // Return a slice, row by row; a volume coarser than the display is interpolated between its two nearest slices.
  function slice(volume, view, index, count, component = 0) {
    const [nz, ny, nx] = volume.shape;
    const size = [nx, ny, nz];
    const step = [1, nx, nx * ny];
    const [columns, rows, depth] = [size[view.across], size[view.down], size[view.through]];
    const at = Math.min(Math.max(((index + 0.5) * depth) / count - 0.5, 0), depth - 1);
    const near = depth === count ? index : Math.floor(at);
    const part = depth === count ? 0 : at - near;
    const out = new (part ? Float32Array : volume.data.constructor)(rows * columns);
    const ahead = part ? step[view.through] : 0;
    const base = component * nx * ny * nz + near * step[view.through];
    for (let r = 0, o = 0; r < rows; r++) {
      let i = base + r * step[view.down];
      for (let c = 0; c < columns; c++, i += step[view.across], o++) {
        out[o] = part ? volume.data[i] * (1 - part) + volume.data[i + ahead] * part : volume.data[i];
      }
    }
    return { data: out, rows, columns };
  }

  // Return the value of a volume at a point (x, y, z) of the display grid, which has the same extent.
  function value(volume, point, shape, component = 0) {
    const [nz, ny, nx] = volume.shape;
    const index = [nx, ny, nz].map((n, a) => Math.min(n - 1, Math.floor(((point[a] + 0.5) * n) / shape[a])));
    return volume.data[((component * nz + index[2]) * ny + index[1]) * nx + index[0]];
  }

  return { load, slice, value, joined };
})();
