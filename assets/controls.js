/* The controls: a request out of their values and back, presets, examples, the final prompt, what survives a reload.
 *
 * Owns no control itself: Gradio does, and hands the values over in the order of `wan.setup.values`.
 */
(() => {
  "use strict";
  const wan = window.wan;
  const { $, el, button, t, own, parts, setup } = wan;
  const SAME_NAME = ["prompt", "negative_prompt", "style", "seconds", "fps", "denoise_strength", "seed", "batch_size"];

  const byName = (values) => Object.fromEntries(setup.values.map((name, i) => [name, values[i]]));

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
  function spread(fields, current) {
    const values = byName(current);
    if (fields.width) values.size = `${fields.width}×${fields.height}`;
    for (const name of SAME_NAME) if (name in fields) values[name] = fields[name];
    if ("guidance_scale" in fields || "num_inference_steps" in fields) {
      values.auto = fields.guidance_scale == null && fields.num_inference_steps == null;
      values.guidance_scale = fields.guidance_scale ?? values.guidance_scale;
      values.steps = fields.num_inference_steps ?? values.steps;
    }
    return setup.values.map((name) => values[name]);
  }

  /* Type into one of Gradio's own inputs as a person would, so that its value follows. */
  function type(selector, value) {
    const input = $(selector);
    Object.getOwnPropertyDescriptor(Object.getPrototypeOf(input), "value").set.call(input, value);
    for (const name of ["input", "change", "blur"]) input.dispatchEvent(new Event(name, { bubbles: true }));
  }

  /* ---- presets, seeds ---- */
  wan.seed = (last) => (last && wan.job.state ? wan.job.state.seed : -1);
  wan.preset = (name, ...current) => spread(setup.presets[name], current);
  wan.loaded = (answer, ...current) => {
    wan.showError((answer && answer.error) || null);
    if (!answer || answer.error) return current;
    wan.toast(t("preset_loaded"));
    return spread(answer.fields, current);
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
    else parts.values = wan.language === "en" ? spread({ prompt: setup.examples[0].prompt_en }, values) : values;
    return parts.values;
  };
  wan.keepDraft = (...values) => {
    wan.keep("sessionStorage", "wan-draft", values);
    parts.values = values;
    wan.drawNotes();
    drawExamples();
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

  /* ---- examples: those of the chosen style, then the first few ---- */
  function drawExamples() {
    if (!parts.examples) return;
    const style = parts.values ? byName(parts.values).style : "";
    const of = setup.examples.filter((example) => example.style === style);
    const chosen = [...new Set([...of, ...setup.examples])].slice(0, Math.max(5, of.length));
    const chips = chosen.map((example) => {
      const chip = button("wan-example", own(example, "prompt"), () => {
        parts.example = example;
        parts.takeExample("click");
      });
      chip.title = chip.textContent;
      return chip;
    });
    parts.examples.replaceChildren(el("span", "wan-hint", t("examples")), ...chips);
  }
  wan.takeExample = (...current) => {
    const { style, settings } = parts.example;
    return spread({ prompt: own(parts.example, "prompt"), style, denoise_strength: settings.denoise_strength }, current);
  };

  /* ---- the final prompt ---- */
  wan.explain = async (toggle, prompt, negative, style) => {
    if (toggle) parts.final.hidden = !parts.final.hidden;
    $("#wan-reveal").setAttribute("aria-expanded", String(!parts.final.hidden));
    if (parts.final.hidden) return;
    parts.explained = await parts.server.explain({ prompt, negative_prompt: negative, style: style || "" });
    drawFinal();
  };
  function drawFinal() {
    const { explained } = parts;
    if (!explained) return;
    const rows = [];
    const row = (key, value, className) => {
      rows.push(el("dt", "", t(key)), el("dd", className, value || t("final_empty")));
    };
    if (explained.error) row("error", wan.told(explained.error), "wan-bad");
    else {
      row("final_prompt", explained.prompt, "wan-mono");
      row("final_negative", explained.negative_prompt, "wan-mono");
    }
    const { style } = explained;
    if (style) {
      const local = wan.language === "zh" ? "_zh" : "";
      row("suits", style[`suits${local}`]);
      row("looks", style[`looks${local}`]);
      row("phrase", style.phrase_zh);
      const add = button("wan-example", t("add_phrase"), () => {
        const prompt = $("#wan-prompt textarea").value.trim();
        type("#wan-prompt textarea", prompt ? `${prompt}，${style.phrase_zh}` : style.phrase_zh);
      });
      rows.at(-1).append(" ", add);
    }
    parts.final.replaceChildren(...rows);
  }

  wan.mount = {
    examples(root, trigger) {
      parts.examples = $(".wan-examples", root);
      parts.takeExample = trigger;
      wan.part(drawExamples);
      wan.part(wan.drawNotes);
    },
    final(root, server) {
      parts.final = $(".wan-final", root);
      parts.server = server;
      wan.part(drawFinal);
    },
  };

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
