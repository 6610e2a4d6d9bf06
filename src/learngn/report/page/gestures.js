"use strict";
// Reactions of a view to pointer, wheel and keys.

// `act` has the methods refresh(), cut(view, index), point(point of the view, or null), show(point).
function addGestures(view, model, act) {
  const { canvas } = view;
  const REACH = 14; // px around the swipe line in which it can be dragged
  const swiping = () => model.mode === "swipe";
  const fraction = (event) => {
    const box = canvas.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  const near = (event) => swiping() && Math.abs(fraction(event) - model.swipe) * canvas.clientWidth < REACH;
  const setSwipe = (value) => {
    model.swipe = Math.min(1, Math.max(0, value));
    act.refresh();
  };
  let hold = null; // object that is dragged: "swipe", "cross", or "tap" for a finger that has not moved yet
  let from = 0;

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    from = event.clientX;
    const single = view.depth === 1; // a single plane has no other views that follow the cross
    if (near(event) || (swiping() && single)) hold = "swipe";
    else hold = swiping() && event.pointerType === "touch" ? "tap" : "cross";
    if (hold === "swipe") setSwipe(fraction(event));
    if (hold === "cross") act.point(view.pointAt(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (hold === "tap" && Math.abs(event.clientX - from) > 6) hold = "swipe";
    if (hold === "swipe") setSwipe(fraction(event));
    else if (hold === "cross") act.point(view.pointAt(event));
    else if (!hold) {
      canvas.classList.toggle("over", near(event));
      act.show(view.pointAt(event));
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    if (hold === "tap") act.point(view.pointAt(event));
    hold = null;
  });
  canvas.addEventListener("pointercancel", () => (hold = null)); // the page scrolls
  canvas.addEventListener("pointerleave", () => act.show(model.at));

  canvas.addEventListener(
    "wheel",
    (event) => {
      if (document.activeElement !== canvas || view.depth === 1) return; // the page scrolls on
      event.preventDefault();
      act.cut(view, view.index + Math.sign(event.deltaY));
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 10 : 1;
    const slices = { ArrowUp: -step, ArrowDown: step, PageUp: -10, PageDown: 10 };
    const swipes = { ArrowLeft: -0.02 * step, ArrowRight: 0.02 * step };
    if (event.key in slices && view.depth > 1) act.cut(view, view.index + slices[event.key]);
    else if (event.key in swipes && swiping()) setSwipe(model.swipe + swipes[event.key]);
    else return;
    event.preventDefault();
  });
}
