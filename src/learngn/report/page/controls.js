"use strict";
// Buttons of the viewer: choices, windows of the scans, labels.

const Controls = (() => {
  // Fill a fieldset with the choices that are present; returns their names.
  function choice(field, name, entries, type, key) {
    field.hidden = entries.length < (type === "radio" && field.id === "against" ? 2 : 1);
    entries.forEach(([value, text], i) => {
      const label = document.createElement("label");
      const title = key(value, i);
      label.innerHTML = `<input type="${type}" name="${name}" value="${value}"><span title="key ${title}">${text}</span>`;
      label.firstChild.setAttribute("aria-keyshortcuts", title);
      field.append(label);
    });
    return entries.map(([value]) => value);
  }

  // Buttons and numbers of the windows of the scans; returns a function that shows the windows as they are.
  function windows(place, model, changed) {
    const groups = Object.entries(model.contrast);
    place.hidden = !groups.length;
    const buttons = [];
    const set = (group, window) => {
      group.window = window;
      model.look++;
      changed();
    };
    const button = (text, title, press) => {
      const made = document.createElement("button");
      Object.assign(made, { type: "button", className: "chip", textContent: text, title });
      made.addEventListener("click", press);
      return made;
    };
    const rows = groups.map(([name, group]) => {
      const row = document.createElement("div");
      row.setAttribute("role", "group");
      row.setAttribute("aria-label", Contrast.GROUPS[name]);
      row.innerHTML = `<span>${Contrast.GROUPS[name]}</span><input type="number" step="any" aria-label="black"> to
        <input type="number" step="any" aria-label="white">${name === "ct" ? " HU" : ""} <output></output>`;
      const inputs = [...row.querySelectorAll("input")];
      inputs.forEach((input, i) =>
        input.addEventListener("change", () => {
          const window = [...group.window];
          window[i] = +input.value;
          if (input.value === "" || !(window[1] > window[0])) changed();
          else set(group, window);
        }),
      );
      if (name === "ct") {
        for (const [preset, [text, window]] of Object.entries(Contrast.PRESETS)) {
          const made = button(text, "key V", () => set(group, [...window]));
          buttons.push([made, group, preset]);
          row.append(made);
        }
      }
      row.append(button("Full range", "the values of the whole scan", () => set(group, [...group.full])));
      place.append(row);
      return [group, inputs, row.querySelector("output")];
    });
    return () => {
      for (const [group, inputs, output] of rows) {
        Contrast.rounded(group.window).forEach((value, i) => (inputs[i].value = value));
        output.textContent = Contrast.text(group.window);
      }
      for (const [made, group, preset] of buttons) made.setAttribute("aria-pressed", String(Contrast.nameOf(group.window) === preset));
    };
  }

  // Take the next of the windows of CT.
  function nextWindow(model) {
    const { ct } = model.contrast;
    if (!ct) return;
    const names = Object.keys(Contrast.PRESETS);
    const next = names[names.indexOf(Contrast.nameOf(ct.window)) + 1];
    ct.window = next ? [...Contrast.PRESETS[next][1]] : [...ct.full];
    model.look++;
  }

  function labels(place, page, model, changed) {
    page.labels.forEach((label, i) => {
      const code = Math.min(i + 1, 255);
      const button = document.createElement("button");
      Object.assign(button, { type: "button", className: "chip" });
      button.setAttribute("aria-pressed", "true");
      button.innerHTML = `<i style="background:${label.colour}"></i>`;
      button.append(label.name);
      button.addEventListener("click", () => {
        const hide = !model.hidden.has(code);
        model.hidden[hide ? "add" : "delete"](code);
        button.setAttribute("aria-pressed", String(!hide));
        changed();
      });
      place.append(button);
    });
    if (page.labels.length) place.insertAdjacentHTML("beforeend", '<span class="chip plain"><i></i>white: fixed scan</span>');
  }

  return { choice, windows, nextWindow, labels };
})();
