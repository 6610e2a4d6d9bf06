"use strict";
// The worst pairs of a cohort: a view of each, with common display options.

(() => {
  const tools = document.getElementById("tools");
  if (!tools) return;
  const cards = [...document.querySelectorAll(".card")];
  const models = [];

  function open(card) {
    const name = `pair-${card.dataset.pair}`;
    const page = JSON.parse(document.getElementById(name).textContent);
    const model = modelOf(page);
    const view = new View(model, page.views[0]);
    card.querySelector(".place").append(view.figure);
    let waiting = false;
    const refresh = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        view.draw();
      });
    };
    addGestures(view, model, { refresh, cut: () => {}, point: () => {}, show: () => {} });
    models.push({ model, refresh });
    return Volumes.load(page.volumes, name).then((volumes) => {
      model.volumes = volumes;
      new ResizeObserver(refresh).observe(view.canvas);
    });
  }

  function choice(place, type, entries) {
    const field = document.getElementById(place);
    field.hidden = entries.length < (type === "radio" ? 2 : 1);
    entries.forEach(([name, text], i) => {
      const checked = i === 0 ? " checked" : "";
      field.insertAdjacentHTML("beforeend", `<label><input type="${type}" name="${place}" value="${name}"${checked}><span>${text}</span></label>`);
    });
  }

  const shown = cards.map(open);
  Promise.all(shown).then(() => {
    const grey = models.some(({ model }) => model.volumes.fixed?.kind === "scan");
    choice("modes", "radio", [["swipe", "Swipe"], ["checker", "Checkerboard"], ...(grey ? [["both", "Overlay"]] : [])]);
    choice("against", "radio", [["warped", "Registered"], ["before", "Before"]]);
    choice("layers", "checkbox", models.some(({ model }) => model.labels.length) ? [["outlines", "Outlines"]] : []);
    tools.addEventListener("change", ({ target }) => {
      for (const { model, refresh } of models) {
        if (target.name === "modes") model.mode = target.value;
        else if (target.name === "against") model.against = target.value;
        else model.layers[target.value] = target.checked;
        refresh();
      }
    });
    document.getElementById("cards").dataset.state = "ready";
  });
})();
