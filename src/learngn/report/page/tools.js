"use strict";
// Full screen, and pictures of the views.

const Tools = (() => {
  // Show an element on the whole screen, or as large as the window where a browser has no full screen.
  function whole(root, change) {
    const set = (on) => {
      root.classList.toggle("whole", on);
      document.body.style.overflow = on ? "hidden" : "";
      change(on);
    };
    document.addEventListener("fullscreenchange", () => document.fullscreenElement || set(false));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && root.classList.contains("whole")) set(false);
    });
    return () => {
      const on = !root.classList.contains("whole");
      set(on);
      if (on) root.requestFullscreen?.().catch(() => {});
      else if (document.fullscreenElement) document.exitFullscreen();
    };
  }

  // Copy what a view shows, with the letters of its sides and lines of text below.
  function picture(view, lines) {
    const { canvas, ratio } = view;
    const row = 17 * ratio;
    const copy = document.createElement("canvas");
    copy.width = canvas.width;
    copy.height = canvas.height + row * lines.length + 6 * ratio;
    const context = copy.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, copy.width, copy.height);
    context.drawImage(canvas, 0, 0);
    Object.assign(context, { fillStyle: "#fff", font: `${12 * ratio}px system-ui, sans-serif`, textBaseline: "middle" });
    const [w, h, edge] = [canvas.width, canvas.height, 12 * ratio];
    const places = [[edge, h / 2], [w - edge, h / 2], [w / 2, edge], [w / 2, h - edge]];
    context.textAlign = "center";
    [...view.spec.marks].forEach((mark, i) => context.fillText(mark, ...places[i]));
    context.textAlign = "left";
    lines.forEach((line, i) => context.fillText(line, 8 * ratio, h + (i + 0.5) * row + 3 * ratio, w - 16 * ratio));
    return copy;
  }

  function save(canvas, name) {
    canvas.toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${name.replace(/[^\w.-]+/g, "-")}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    }, "image/png");
  }

  return { whole, picture, save };
})();
