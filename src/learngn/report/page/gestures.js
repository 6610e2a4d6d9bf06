"use strict";
// Reactions of a view to pointer, wheel and keys.

// `act` has the methods refresh(), cut(view, index), point(point of the view), show(point), and optionally zoomed() and
// windowed(), called when a drag has changed the windows: without it no drag does.
function addGestures(view, model, act) {
  const { canvas } = view;
  const axes = [view.spec.across, view.spec.down];
  const REACH = 14; // px around the swipe line in which it can be dragged
  const STEP = 1.25; // of the zoom
  const swiping = () => model.mode === "swipe";
  const fraction = (event) => Math.min(1, Math.max(0, view.fractionAt(event)[0]));
  const near = (event) => swiping() && Math.abs(fraction(event) - model.swipe) * canvas.clientWidth < REACH;
  const setSwipe = (value) => {
    model.swipe = Math.min(1, Math.max(0, value));
    act.refresh();
  };
  const see = (sight) => {
    model.sight = sight;
    act.zoomed?.();
    act.refresh();
  };
  // The other views zoom about the slice of this one.
  const zoom = (factor, place) => {
    const { zoom: now, centre } = model.sight;
    const through = view.spec.through;
    const start = centre.map((c, axis) => (now === 1 && axis === through ? (model.at[axis] + 0.5) / view.depth : c));
    see(Zoom.about({ zoom: now, centre: start }, factor, axes, place));
  };
  const size = () => [canvas.clientWidth, canvas.clientHeight];
  const pan = (x, y) => see(Zoom.panned(model.sight, axes, [x / size()[0], y / size()[1]]));
  const windowed = (x, y) => {
    for (const group of Object.values(model.contrast)) group.window = Contrast.rounded(Contrast.dragged(group.window, x / size()[0], y / size()[1]));
    model.look++;
    act.windowed?.();
    act.refresh();
  };

  const fingers = new Map(); // pointers that are down: their last events
  let hold = null; // what is dragged: "swipe", "cross", "pan", "window", "pinch", or "tap" for a finger that has not moved yet
  let from = 0;

  function grip(event) {
    if (fingers.size > 1) return "pinch";
    if (event.button === 2) return act.windowed ? "window" : null;
    if (event.button === 1 || (event.shiftKey && event.button === 0)) return "pan";
    const single = view.depth === 1; // a single plane has no other views that follow the cross
    if (near(event) || (swiping() && single)) return "swipe";
    return event.pointerType === "touch" && (swiping() || model.sight.zoom > 1) ? "tap" : "cross";
  }

  // A finger that has moved drags the swipe, or else the zoomed slice.
  const dragging = () => (swiping() ? "swipe" : "pan");

  function pinch(event) {
    const [one, two] = [...fingers.values()];
    const other = one.pointerId === event.pointerId ? two : one;
    const last = fingers.get(event.pointerId);
    const apart = (a) => Math.max(10, Math.hypot(a.clientX - other.clientX, a.clientY - other.clientY));
    const middle = { clientX: 0.5 * (event.clientX + other.clientX), clientY: 0.5 * (event.clientY + other.clientY) };
    zoom(apart(event) / apart(last), view.sliceAt(middle));
    pan(0.5 * (event.clientX - last.clientX), 0.5 * (event.clientY - last.clientY));
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 2 || fingers.size > 1) return;
    if (event.button === 1) event.preventDefault(); // no scrolling by the middle button
    fingers.set(event.pointerId, event);
    try {
      canvas.setPointerCapture(event.pointerId);
    } catch {
      // the pointer has gone already
    }
    from = event.clientX;
    hold = grip(event);
    if (hold === "swipe") setSwipe(fraction(event));
    if (hold === "cross") act.point(view.pointAt(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (last) {
      const [x, y] = [event.clientX - last.clientX, event.clientY - last.clientY];
      if (hold === "tap" && Math.abs(event.clientX - from) > 6) hold = dragging();
      if (hold === "pinch" && fingers.size > 1) pinch(event);
      if (hold === "swipe") setSwipe(fraction(event));
      if (hold === "cross") act.point(view.pointAt(event));
      if (hold === "pan") pan(x, y);
      if (hold === "window") windowed(x, y);
      fingers.set(event.pointerId, event);
    } else if (event.pointerType !== "touch") {
      canvas.classList.toggle("over", near(event));
      act.show(view.pointAt(event));
    }
  });
  const release = (event) => {
    fingers.delete(event.pointerId);
    hold = null;
  };
  canvas.addEventListener("pointerup", (event) => {
    if (hold === "tap") act.point(view.pointAt(event));
    release(event);
  });
  canvas.addEventListener("pointercancel", release); // the page scrolls
  canvas.addEventListener("pointerleave", () => act.show(model.at));
  canvas.addEventListener("contextmenu", (event) => act.windowed && event.preventDefault());
  canvas.addEventListener("dblclick", () => see(Zoom.WHOLE));

  canvas.addEventListener(
    "wheel",
    (event) => {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault(); // also two fingers on a touchpad
        zoom(Math.exp(-0.01 * Math.min(25, Math.max(-25, event.deltaY))), view.sliceAt(event));
      } else if (view.depth > 1 && (document.activeElement === canvas || canvas.closest(".whole"))) {
        event.preventDefault(); // else the page scrolls on
        act.cut(view, view.index + Math.sign(event.deltaY));
      }
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 10 : 1;
    const slices = { ArrowUp: -step, ArrowDown: step, PageUp: -10, PageDown: 10 };
    const swipes = { ArrowLeft: -0.02 * step, ArrowRight: 0.02 * step };
    const pans = { w: [0, 40], s: [0, -40], a: [40, 0], d: [-40, 0] };
    if (event.key in slices && view.depth > 1) act.cut(view, view.index + slices[event.key]);
    else if (event.key in swipes && swiping()) setSwipe(model.swipe + swipes[event.key]);
    else if (event.key.toLowerCase() in pans) pan(...pans[event.key.toLowerCase()]);
    else return;
    event.preventDefault();
  });

  // Zoom in (1) or out (-1), about the cross if it is shown.
  return {
    zoom(way) {
      const { at, layers, sight } = model;
      const [w, h] = [view.columns, view.rows];
      const about = layers.cross ? [(at[axes[0]] + 0.5) / w, (at[axes[1]] + 0.5) / h] : axes.map((axis) => sight.centre[axis]);
      zoom(way > 0 ? STEP : 1 / STEP, about);
    },
  };
}
