/* The controls: a request out of their values and back, presets, what survives a reload.
 *
 * Owns no control itself: Gradio does, and hands the values over in the order of `wan.setup.values`.
 */
(() => {
  "use strict";
  const wan = window.wan;
  const { $, el, t, parts, setup } = wan;
  const SAME_NAME = ["prompt", "negative_prompt", "style", "seconds", "fps", "denoise_strength", "seed", "batch_size"];

  const byName = (values) => Object.fromEntries(setup.values.map((name, i) => [name, values[i]]));
  wan.valueOf = (name) => parts.values?.[setup.values.indexOf(name)];

  wan.toRequest = (values) => {
    const v = byName(values);
    const [width, height] = String(v.size).split("×").map(Number);
    const request = { width, height };
    for (const name of SAME_NAME) request[name] = v[name];
    request.style = v.style || "";
    request.guidance_scale = v.auto ? null : v.guidance_scale;
    request.num_inference_steps = v.auto ? null : v.steps;
    return { request, streaming: v.streaming };
  };

  /* Fields of a request as values of the controls; what is not given stays. */
  wan.spread = (fields, current) => {
    const values = byName(current);
    if (fields.width) values.size = `${fields.width}×${fields.height}`;
    for (const name of SAME_NAME) if (name in fields) values[name] = fields[name];
    if ("guidance_scale" in fields || "num_inference_steps" in fields) {
      values.auto = fields.guidance_scale == null && fields.num_inference_steps == null;
      values.guidance_scale = fields.guidance_scale ?? values.guidance_scale;
      values.steps = fields.num_inference_steps ?? values.steps;
    }
    return setup.values.map((name) => values[name]);
  };

  /* ---- presets, seeds ---- */
  wan.seed = (last) => (last && wan.job.state ? wan.job.state.seed : -1);
  wan.preset = (name, ...current) => wan.spread(setup.presets[name], current);
  wan.loaded = (answer, ...current) => {
    wan.showError((answer && answer.error) || null);
    if (!answer || answer.error) return current;
    wan.toast(t("preset_loaded"));
    return wan.spread(answer.fields, current);
  };
  wan.savePreset = (...values) => {
    const link = el("a");
    const { request } = wan.toRequest(values);
    link.href = URL.createObjectURL(new Blob([JSON.stringify(request, null, 2)], { type: "application/json" }));
    link.download = "wan-preset.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    wan.toast(t("preset_saved"));
  };

  /* ---- what is typed survives a reload ---- */
  wan.draft = (...values) => {
    const draft = wan.kept("sessionStorage", "wan-draft");
    if (Array.isArray(draft) && draft.length === values.length) parts.values = draft;
    // The example in the box is Chinese; a page in English starts with the same one in English.
    else parts.values = wan.language === "en" ? wan.spread({ prompt: setup.examples[0].prompt_en }, values) : values;
    wan.foresee(parts.values);
    return parts.values;
  };
  wan.keepDraft = (...values) => {
    wan.keep("sessionStorage", "wan-draft", values);
    parts.values = values;
    wan.drawNotes();
    wan.foresee(values);
  };

  /* ---- notes: what depends on other settings ---- */
  wan.drawNotes = () => {
    if (!parts.values) return;
    const { auto, guidance_scale: guidance } = byName(parts.values);
    for (const id of ["wan-guidance", "wan-steps"]) $(`#${id}`)?.classList.toggle("wan-dim", auto);
    annotate("#wan-guidance", "warning", !auto && guidance > 12 ? t("guidance_high") : "");
    const defaults = wan.status && wan.status.defaults;
    annotate("#wan-auto", "note", auto && defaults ? t("auto_note", defaults) : "");
  };
  function annotate(selector, name, sentence) {
    const node = $(selector); // not in the page while its section is closed
    if (!node || (node.dataset[name] || "") === sentence) return;
    if (sentence) node.dataset[name] = sentence;
    else delete node.dataset[name];
  }

  wan.part(wan.drawNotes);

  document.addEventListener(
    "keydown",
    (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
      if (!event.target.closest("#wan-controls")) return;
      event.preventDefault();
      $("#wan-generate").click();
    },
    true,
  );
})();
