/* The page around the player: sends the request, polls the state, and shows status, progress, memory and errors.
 *
 * Owns: language and theme of the page, the current job and its clips, what is kept across a reload. Needs assets/player.js
 * and `wan.setup` (texts, presets, examples, wording; written by web/ui.py).
 */
(() => {
  "use strict";
  const wan = window.wan;
  const setup = wan.setup;
  const debug = new URLSearchParams(location.search).get("debug") === "1";
  const $ = (selector, root = document) => root.querySelector(selector);
  const el = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const stored = (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null; // storage is closed to this page, as in a private frame
    }
  };
  const keep = (store, key, value) => {
    try {
      store.setItem(key, value);
    } catch {
      log("storage is full or closed");
    }
  };

  /* ---- language and theme ---- */
  const guessed = (navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en";
  wan.language = stored("wan-language") || guessed;
  const t = (key, values = {}) => {
    const sentence = setup.texts[wan.language][key];
    return sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  };
  const own = (object, stem) => object[`${stem}_${wan.language}`];
  const redraw = new Set(); // functions that draw a part of the page in the current language

  wan.switchLanguage = (to) => {
    wan.language = to || (wan.language === "zh" ? "en" : "zh");
    keep(localStorage, "wan-language", wan.language);
    document.documentElement.lang = wan.language === "zh" ? "zh-CN" : "en";
    document.title = t("title");
    for (const draw of redraw) draw();
    // What Gradio drew itself changes through updates of its own components, in the order of `wording`.
    return Object.values(setup.wording).map((props) => {
      const update = { __type__: "update" };
      for (const [prop, key] of Object.entries(props)) update[prop] = t(key);
      return update;
    });
  };
  wan.initialLanguage = () => {
    const updates = wan.switchLanguage(wan.language);
    return wan.language === guessed ? updates.map(() => ({ __type__: "update" })) : updates;
  };
  wan.switchTheme = () => {
    const dark = document.body.classList.toggle("dark");
    keep(localStorage, "wan-theme", dark ? "dark" : "light");
  };
  const theme = stored("wan-theme");
  if (theme) document.body.classList.toggle("dark", theme === "dark");

  /* ---- event log, for ?debug=1 ---- */
  const events = (wan.events = []);
  function log(text) {
    events.push({ ms: Math.round(performance.now()), text });
    if (events.length > 500) events.shift();
    if (debug && parts.log) drawLog();
  }

  /* ---- parts of the page, filled by the mount functions ---- */
  const parts = {};
  const job = { id: null, session: null, state: null, clips: [], states: {}, notice: "", streaming: true };
  wan.job = job;
  let status = null;
  let offline = false;

  wan.mount = {
    topbar(root, trigger) {
      parts.chips = $(".wan-chips", root);
      const language = $(".wan-language", root);
      const dark = $(".wan-theme", root);
      language.addEventListener("click", () => trigger("click"));
      dark.addEventListener("click", wan.switchTheme);
      part(() => {
        $(".wan-brand-name", root).textContent = t("brand");
        $(".wan-brand-line", root).textContent = t("tagline");
        language.textContent = t("switch_language");
        language.title = t("switch_language_tip");
        dark.title = t("switch_theme");
        dark.setAttribute("aria-label", t("switch_theme"));
        drawChips();
      });
    },
    examples(root, trigger) {
      parts.examples = $(".wan-examples", root);
      parts.takeExample = trigger;
      part(drawExamples);
    },
    final(root, server) {
      parts.final = $(".wan-final", root);
      parts.server = server;
    },
    player(root) {
      parts.player = $(".wan-player", root);
      parts.screen = $(".wan-screen", root);
      parts.veil = $(".wan-veil", root);
      parts.bar = $(".wan-bar", root);
      parts.facts = $(".wan-figures", root);
      parts.state = $(".wan-state", root);
      parts.clips = $(".wan-clips", root);
      parts.links = $(".wan-links", root);
      parts.error = $(".wan-error", root);
      part(drawJob);
      part(drawError);
      restore();
    },
    memory(root) {
      parts.memory = $(".wan-memory", root);
      parts.memory.classList.toggle("wan-large", debug);
      parts.canvas = $("canvas", root);
      parts.memoryText = $(".wan-memory-text", root);
      part(drawMemory);
    },
    corner(root) {
      parts.ready = $(".wan-ready", root);
      parts.debug = $(".wan-debug", root);
      parts.log = $(".wan-log", root);
      parts.debug.hidden = !debug;
      part(() => {
        $(".wan-debug-title", root).textContent = t("event_log");
        drawReady();
      });
    },
  };
  function part(draw) {
    redraw.add(draw);
    draw();
  }

  /* The examples of the chosen style, then the first few. A click takes the prompt and what suits it. */
  function drawExamples() {
    if (!parts.examples) return;
    const style = parts.values ? byName(parts.values).style : "";
    const of = setup.examples.filter((example) => example.style === style);
    const chips = [...new Set([...of, ...setup.examples])].slice(0, Math.max(5, of.length)).map((example) => {
      const chip = el("button", "wan-example", own(example, "prompt"));
      chip.type = "button";
      chip.title = chip.textContent;
      chip.addEventListener("click", () => {
        parts.example = example;
        parts.takeExample("click");
      });
      return chip;
    });
    parts.examples.replaceChildren(el("span", "wan-hint", t("examples")), ...chips);
  }
  wan.takeExample = (...current) => {
    const { style, settings } = parts.example;
    return spread({ prompt: own(parts.example, "prompt"), style, denoise_strength: settings.denoise_strength }, current);
  };

  /* Type into one of Gradio's own inputs as a person would, so that its value follows. */
  function type(selector, value) {
    const input = $(selector);
    const prototype = input.tagName === "TEXTAREA" ? HTMLTextAreaElement.prototype : HTMLInputElement.prototype;
    Object.getOwnPropertyDescriptor(prototype, "value").set.call(input, value);
    for (const name of ["input", "change", "blur"]) input.dispatchEvent(new Event(name, { bubbles: true }));
  }

  /* ---- the request ---- */
  const byName = (values) => Object.fromEntries(setup.values.map((name, i) => [name, values[i]]));
  function toRequest(values) {
    const v = byName(values);
    const [width, height] = String(v.size).split("×").map(Number);
    return {
      streaming: v.streaming,
      request: {
        prompt: v.prompt,
        negative_prompt: v.negative_prompt,
        style: v.style || "",
        width,
        height,
        seconds: v.seconds,
        fps: v.fps,
        guidance_scale: v.auto ? null : v.guidance_scale,
        denoise_strength: v.denoise_strength,
        seed: v.seed,
        num_inference_steps: v.auto ? null : v.steps,
        batch_size: v.batch_size,
      },
    };
  }

  /* Not crypto.randomUUID: that exists on secure origins only, and a machine in the local network is none. */
  function newId() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
  }

  let clicked = 0;
  document.addEventListener(
    "click",
    (event) => {
      if (event.target.closest && event.target.closest("#wan-generate")) clicked = event.timeStamp;
    },
    true,
  );
  document.addEventListener(
    "keydown",
    (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
      if (!event.target.closest || !event.target.closest("#wan-controls")) return;
      event.preventDefault();
      $("#wan-generate").click();
    },
    true,
  );

  wan.submit = (...values) => {
    const { streaming, request } = toRequest(values);
    const id = newId();
    showError(null);
    let settle;
    const accepted = new Promise((resolve) => (settle = resolve));
    const session = new wan.Session(parts.screen, id, { report: reporter(id) });
    session.marks.click = clicked || performance.now();
    clicked = 0;
    send(id, request).then(
      (state) => {
        session.mark("accepted");
        settle(true);
        session.observe(state);
        begin(id, session, state, streaming);
      },
      (error) => {
        settle(false);
        session.close();
        showError(error);
      },
    );
    if (streaming) session.stream(accepted);
    remember(values);
  };

  /* One POST; asked again with the same id when no answer came, which is safe: the server knows the id. */
  async function send(id, request) {
    let answer = null;
    for (let i = 0; i < 3 && !answer; i++) {
      try {
        answer = await fetch(wan.url("jobs"), {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ id, request }),
        });
      } catch (error) {
        log(`submit: ${error.message}`);
        await new Promise((resolve) => setTimeout(resolve, 300 * (i + 1)));
      }
    }
    if (!answer) throw { key: "error_submit" };
    if (answer.status === 401) throw { key: "error_login" };
    const body = await answer.json().catch(() => ({}));
    if (answer.ok) return body;
    throw body.message_en ? body : { message_zh: `HTTP ${answer.status}`, message_en: `HTTP ${answer.status}` };
  }

  function begin(id, session, state, streaming) {
    if (job.session) job.session.close();
    Object.assign(job, { id, session, state, streaming, notice: "", clips: clipsOf(id, state), states: { [id]: state } });
    session.present();
    const { top } = parts.player.getBoundingClientRect();
    if (top > innerHeight - 120) parts.player.scrollIntoView({ behavior: "smooth" }); // below the fold on a phone
    keep(sessionStorage, "wan-job", JSON.stringify({ id, streaming }));
    history.replaceState(null, "", `#job=${id}`);
    log(`job ${id} ${state.state}`);
    drawJob();
    poll();
  }

  function clipsOf(id, state) {
    return [id, ...state.clips];
  }

  function reporter(id) {
    return (name, details) => {
      const current = job.session && job.session.id === id;
      if (name === "flowing") {
        if (current && job.notice) note("");
        return;
      }
      if (name === "rate") return;
      log(name === "mark" ? `${details.name} ${Math.round(details.time)} ms` : `${name} ${JSON.stringify(details)}`);
      if (!current) return;
      if (name === "reconnecting") note("reconnecting");
      else if (name === "gone") note("unknown_job");
      else if (name === "error") showError({ key: "error_play", values: details });
      else drawJob();
    };
  }
  function note(key) {
    job.notice = key;
    drawJob();
  }

  /* ---- what survives a reload ---- */
  function remember(values) {
    keep(sessionStorage, "wan-draft", JSON.stringify(values));
  }
  wan.draft = (...values) => {
    try {
      const draft = JSON.parse(sessionStorage.getItem("wan-draft"));
      if (Array.isArray(draft) && draft.length === setup.values.length) return draft;
    } catch {
      log("the draft could not be read");
    }
    // The example in the box is Chinese; a page in English starts with the same one in English.
    return wan.language === "en" ? spread({ prompt: setup.examples[0].prompt_en }, values) : values;
  };
  wan.keepDraft = (...values) => {
    remember(values);
    parts.values = values;
    drawNotes();
    drawExamples();
  };
  /* What depends on other settings: sliders that the model's own values stand in for, a guidance that is too high. */
  function drawNotes() {
    if (!parts.values) return;
    const { auto, guidance_scale: guidance } = byName(parts.values);
    for (const id of ["wan-guidance", "wan-steps"]) $(`#${id}`)?.classList.toggle("wan-dim", auto);
    annotate("#wan-guidance", "warning", !auto && guidance > 12 ? t("guidance_high") : "");
    const own = status && status.defaults;
    annotate("#wan-auto", "note", auto && own ? t("auto_note", own) : "");
  }
  function annotate(selector, name, sentence) {
    const node = $(selector);
    if (!node || (node.dataset[name] || "") === sentence) return;
    if (sentence) node.dataset[name] = sentence;
    else delete node.dataset[name];
  }
  redraw.add(drawNotes);

  async function restore() {
    const id = (location.hash.match(/job=([0-9a-f]{32}(?:-\d+)?)/) || [])[1];
    if (!id || job.id) return;
    let saved = {};
    try {
      saved = JSON.parse(sessionStorage.getItem("wan-job")) || {};
    } catch {
      log("the saved position could not be read");
    }
    await show(id, saved.id === id ? saved.position || 0 : 0, saved.id === id ? saved.streaming !== false : true);
  }

  /* Attach to a job that exists already: after a reload, by a link, or another clip of a batch. */
  async function show(id, position, streaming) {
    const session = new wan.Session(parts.screen, id, { position, report: reporter(id) });
    session.marks.click = performance.now();
    let state;
    try {
      state = await session.refresh();
    } catch {
      Object.assign(job, { notice: "unknown_job" });
      drawJob();
      return;
    }
    const clips = job.clips.includes(id) ? job.clips : clipsOf(id, state);
    if (job.session) job.session.close();
    Object.assign(job, { id, session, state, streaming, notice: "", clips, states: { ...job.states, [id]: state } });
    session.present();
    if (state.state === "done") session.playFile(position);
    else if (streaming) session.stream(Promise.resolve(true));
    history.replaceState(null, "", `#job=${id}`);
    drawJob();
    poll();
  }
  addEventListener("pagehide", () => {
    if (!job.session) return;
    const position = job.session.position || job.session.video.currentTime;
    keep(sessionStorage, "wan-job", JSON.stringify({ id: job.id, streaming: job.streaming, position }));
  });

  /* ---- polling: state of the jobs at 2 Hz while one runs, status at 2 Hz while the page is seen ---- */
  let polling = false;
  async function poll() {
    if (polling) return;
    polling = true;
    while (job.clips.some((id) => !job.states[id] || !wan.hasEnded(job.states[id]))) {
      for (const id of job.clips) {
        const known = job.states[id];
        if (known && wan.hasEnded(known)) continue;
        try {
          const answer = await fetch(wan.url(`jobs/${id}`), { cache: "no-store" });
          if (answer.ok) seen(id, await answer.json());
          else if (answer.status === 404) seen(id, { ...(known || job.state), id, state: "failed" });
        } catch (error) {
          log(`state: ${error.message}`);
        }
      }
      await new Promise((resolve) => setTimeout(resolve, document.hidden ? 2000 : 500));
    }
    polling = false;
  }
  function seen(id, state) {
    const before = job.states[id];
    job.states[id] = state;
    if (!before || before.state !== state.state) log(`job ${id.slice(0, 8)} ${state.state}`);
    if (id === job.id) {
      job.state = state;
      job.session.observe(state);
      if (!job.session.source && !job.session.swapped && state.state === "done") job.session.playFile(0);
    }
    drawJob();
  }

  async function watch() {
    for (;;) {
      if (!document.hidden) {
        try {
          const answer = await fetch(wan.url("status"), { cache: "no-store" });
          if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
          status = await answer.json();
          offline = false;
          addReading(status.memory);
        } catch (error) {
          if (!offline) log(`status: ${error.message}`);
          offline = true;
        }
        drawChips();
        drawReady();
        drawMemory();
        drawNotes();
        if (job.state && job.state.state === "queued") drawJob();
      }
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  /* ---- buttons ---- */
  wan.cancel = async () => {
    for (const id of job.clips) {
      if (job.states[id] && wan.hasEnded(job.states[id])) continue;
      try {
        const answer = await fetch(wan.url(`jobs/${id}/cancel`), { method: "POST" });
        if (answer.ok) seen(id, await answer.json());
      } catch (error) {
        log(`cancel: ${error.message}`);
        showError({ key: "not_reachable" });
      }
    }
  };
  wan.seed = (last) => {
    const used = job.state ? job.state.seed : -1;
    return last ? used : -1;
  };
  wan.preset = (name, ...current) => {
    const fields = setup.presets[name];
    return fields ? spread(fields, current) : current;
  };
  /* Fields of a request as values of the controls, in the order of `setup.values`; what is not given stays. */
  function spread(fields, current) {
    const values = byName(current);
    if (fields.width) values.size = `${fields.width}×${fields.height}`;
    for (const name of ["prompt", "negative_prompt", "style", "seconds", "fps", "denoise_strength", "seed", "batch_size"]) {
      if (name in fields) values[name] = fields[name];
    }
    if ("guidance_scale" in fields || "num_inference_steps" in fields) {
      values.auto = fields.guidance_scale == null && fields.num_inference_steps == null;
      if (fields.guidance_scale != null) values.guidance_scale = fields.guidance_scale;
      if (fields.num_inference_steps != null) values.steps = fields.num_inference_steps;
    }
    return setup.values.map((name) => values[name]);
  }
  wan.loaded = (answer, ...current) => {
    if (!answer) return current;
    if (answer.error) {
      showError(answer.error);
      return current;
    }
    showError(null);
    toast(t("preset_loaded"));
    return spread(answer.fields, current);
  };
  wan.savePreset = (...values) => {
    const { request } = toRequest(values);
    const link = el("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(request, null, 2)], { type: "application/json" }));
    link.download = "wan-preset.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    toast(t("preset_saved"));
  };
  let toastTimer = 0;
  function toast(sentence) {
    const box = $(".wan-toast") || document.body.appendChild(el("div", "wan-toast"));
    box.setAttribute("role", "status");
    box.textContent = sentence;
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => (box.textContent = ""), 2500);
  }

  /* ---- the final prompt ---- */
  wan.explain = async (toggle, prompt, negative, style) => {
    if (toggle) parts.final.hidden = !parts.final.hidden;
    $("#wan-reveal").setAttribute("aria-expanded", String(!parts.final.hidden));
    if (parts.final.hidden) return;
    parts.explained = await parts.server.explain({ prompt, negative_prompt: negative, style: style || "" });
    drawFinal();
  };
  function drawFinal() {
    const answer = parts.explained;
    if (!parts.final || !answer) return;
    const rows = [];
    const row = (key, value, className) => {
      rows.push(el("dt", "", t(key)), el("dd", className, value || t("final_empty")));
    };
    if (answer.error) row("error", told(answer.error), "wan-bad");
    else {
      row("final_prompt", answer.prompt, "wan-mono");
      row("final_negative", answer.negative_prompt, "wan-mono");
    }
    const style = answer.style;
    if (style) {
      row("suits", wan.language === "zh" ? style.suits_zh : style.suits);
      row("looks", wan.language === "zh" ? style.looks_zh : style.looks);
      row("phrase", style.phrase_zh);
      const add = el("button", "wan-example", t("add_phrase"));
      add.type = "button";
      add.addEventListener("click", () => {
        const prompt = $("#wan-prompt textarea").value.trim();
        type("#wan-prompt textarea", prompt ? `${prompt}，${style.phrase_zh}` : style.phrase_zh);
      });
      rows.at(-1).append(" ", add);
    }
    parts.final.replaceChildren(...rows);
  }
  redraw.add(drawFinal);

  /* ---- drawing ---- */
  let shownError = null;
  function showError(error) {
    shownError = error;
    drawError();
  }
  /* An error's sentence; a person knows a control's label, not the field's name that it begins with. */
  function told(error) {
    if (error.key) return t(error.key, error.values);
    const key = { num_inference_steps: "steps", width: "size", height: "size" }[error.field] || error.field;
    const sentence = own(error, "message");
    return key in setup.texts.en ? sentence.replace(error.field, t(key)) : sentence;
  }
  function drawError() {
    if (!parts.error) return;
    for (const marked of document.querySelectorAll(".wan-field-error")) marked.classList.remove("wan-field-error");
    parts.error.hidden = !shownError;
    if (!shownError) return;
    const close = el("button", "wan-close", "×");
    close.type = "button";
    close.setAttribute("aria-label", t("close"));
    close.addEventListener("click", () => showError(null));
    parts.error.replaceChildren(el("span", "", told(shownError)), close);
    const id = setup.fields[shownError.field];
    // A control of the closed section is not in the page yet.
    if (id && !document.getElementById(id)) $("#wan-advanced > button").click();
    const error = shownError;
    setTimeout(() => error === shownError && document.getElementById(id)?.classList.add("wan-field-error"), 150);
    parts.error.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  function drawChips() {
    if (!parts.chips || !status) return;
    const chip = (className, label, value, title) => {
      const node = el("span", `wan-chip ${className}`);
      if (label) node.append(el("b", "", label));
      node.append(el("span", "", value));
      if (title) node.title = title;
      return node;
    };
    const reason = status.trt.on ? "" : own(status.trt, "reason");
    const chips = [chip(status.trt.on ? "wan-on" : "wan-off", t(status.trt.on ? "trt_on" : "trt_off"), reason, reason)];
    if (status.backend) chips.push(chip("", t("backend"), status.backend));
    if (status.model) chips.push(chip("", t("model"), status.model));
    if (status.encoder) chips.push(chip("", t("encoder"), status.encoder));
    chips.push(chip("", t("queue"), status.queue_length ? String(status.queue_length) : t("queue_empty")));
    parts.chips.replaceChildren(...chips);
  }

  function drawReady() {
    if (!parts.ready) return;
    const stage = offline ? "offline" : status ? status.stage : "starting";
    const sentence = offline ? t("not_reachable") : stage === "ready" ? t("ready") : status ? own(status, "stage") : "…";
    if (parts.ready.dataset.stage === stage && parts.ready.textContent === sentence) return;
    parts.ready.dataset.stage = stage;
    parts.ready.textContent = sentence;
  }

  const seconds = (ms) => (ms == null ? "–" : ms < 9950 ? `${(ms / 1000).toFixed(2)} s` : `${Math.round(ms / 1000)} s`);
  const bytes = (n) => (n < 1e9 ? `${Math.round(n / 1e6)} MB` : `${(n / 1e9).toFixed(1)} GB`);

  function stateSentence() {
    const { state } = job;
    if (job.notice) return t(job.notice);
    if (!state) return "";
    if (state.state === "queued") {
      if (status && !status.ready) return t("state_waiting_model");
      return t("state_queued", { n: state.queue_position || 0 });
    }
    return t(`state_${state.state}`);
  }

  function drawJob() {
    if (!parts.player) return;
    const { state, session } = job;
    const ended = !!state && wan.hasEnded(state);
    const seen = !!session && session.marks.painted !== undefined;
    parts.player.dataset.state = state ? state.state : "idle";
    const busy = job.clips.some((id) => job.states[id] && !wan.hasEnded(job.states[id]));
    const cancel = $("#wan-cancel");
    if (cancel) cancel.disabled = !busy;
    if (state) parts.player.style.setProperty("--wan-aspect", `${state.width} / ${state.height}`);

    const failed = state && state.state === "failed" && state.error;
    parts.veil.hidden = seen || !!(session && !session.poster.hidden);
    if (!state) {
      parts.veil.replaceChildren(el("strong", "", job.notice ? t(job.notice) : t("idle_title")), el("span", "", job.notice ? "" : t("idle_text")));
    } else {
      const lines = [el("strong", "", stateSentence())];
      if (!ended) lines.unshift(el("i", "wan-spinner"));
      if (!ended && !window.MediaSource && !window.ManagedMediaSource) lines.push(el("span", "", t("unsupported")));
      parts.veil.replaceChildren(...lines);
    }

    const fill = $("i", parts.bar);
    parts.bar.hidden = !state;
    if (state) {
      fill.style.width = `${(100 * state.frames) / state.num_frames}%`;
      parts.bar.setAttribute("aria-valuenow", state.frames);
      parts.bar.setAttribute("aria-valuemax", state.num_frames);
      parts.bar.setAttribute("aria-label", t("frames"));
    }
    drawFacts(state, session, ended);
    if (failed && (!shownError || shownError !== state.error)) showError(state.error);
    drawLinks(state, ended);
    drawClips();
  }

  function drawFacts(state, session, ended) {
    const facts = [];
    const fact = (label, value, title) => {
      const node = el("span", "wan-fact");
      node.append(el("b", "", label), el("span", "", value));
      if (title) node.title = title;
      facts.push(node);
    };
    if (state) {
      fact(t("first_frame"), seconds(state.first_frame_ms));
      if (session.marks.painted && session.fragments) fact(t("painted"), seconds(session.marks.painted - session.marks.click));
      if (state.generation_fps) {
        const rate = session.swapped ? 1 : session.video.playbackRate;
        const play = session.moved && !ended ? ` · ${t("playback", { fps: state.fps, rate: rate.toFixed(2) })}` : "";
        fact(t("speed"), `${state.generation_fps.toFixed(1)} fps${play}`);
      }
      fact(t("frames"), `${state.frames} / ${state.num_frames}`);
      if (!ended && state.num_blocks) {
        fact(t("block"), `${Math.min(state.block + 1, state.num_blocks)} / ${state.num_blocks}`);
        if (state.num_steps) fact(t("step"), `${state.step} / ${state.num_steps}`);
        if (state.eta_ms != null) fact(t("eta"), seconds(state.eta_ms));
      }
      fact(t("seed_used"), String(state.seed));
    }
    const sentence = stateSentence();
    if (parts.state.textContent !== sentence) parts.state.textContent = sentence; // read aloud at each change only
    parts.facts.replaceChildren(...facts);
  }

  function drawLinks(state, ended) {
    const download = $(".wan-download", parts.links);
    const copy = $(".wan-copy", parts.links);
    const some = !!state && state.frames > 0;
    download.textContent = t(state && state.state === "done" ? "download" : "download_partial");
    download.setAttribute("aria-disabled", String(!some));
    if (some) download.href = wan.url(`jobs/${job.id}/video.mp4?download=1`);
    else download.removeAttribute("href");
    copy.textContent = t("copy_link");
    copy.hidden = !state;
    if (!copy.onclick) {
      copy.onclick = async () => {
        try {
          await navigator.clipboard.writeText(location.href);
          toast(t("copied"));
        } catch {
          prompt(t("copy_link"), location.href); // no clipboard on an insecure origin
        }
      };
    }
  }

  function drawClips() {
    parts.clips.hidden = job.clips.length < 2;
    if (parts.clips.hidden) return;
    if (parts.clips.dataset.of !== job.clips.join()) {
      parts.clips.dataset.of = job.clips.join();
      parts.clips.replaceChildren(
        ...job.clips.map((id, i) => {
          const tile = el("button", "wan-clip");
          tile.type = "button";
          tile.append(el("img"), el("span", "", ""));
          $("img", tile).alt = t("clip", { n: i + 1 });
          tile.addEventListener("click", () => id !== job.id && show(id, 0, job.streaming));
          return tile;
        }),
      );
    }
    job.clips.forEach((id, i) => {
      const tile = parts.clips.children[i];
      const state = job.states[id];
      tile.setAttribute("aria-pressed", String(id === job.id));
      $("span", tile).textContent = state ? `${t("clip", { n: i + 1 })} · ${state.frames}/${state.num_frames}` : t("clip", { n: i + 1 });
      const image = $("img", tile);
      image.style.visibility = image.src ? "" : "hidden";
      if (state && state.frames > 0 && !image.src) image.src = wan.url(`jobs/${id}/first.jpg`);
    });
  }

  /* ---- memory ---- */
  const readings = [];
  let peak = 0;
  function addReading(memory) {
    if (!memory) return;
    readings.push(memory.used_bytes);
    peak = Math.max(peak, memory.used_bytes);
    if (readings.length > 240) readings.shift();
  }
  function drawMemory() {
    const { canvas } = parts;
    if (!canvas || !status || !status.memory) return;
    const { memory } = status;
    const label = t(memory.source === "nvml" ? "memory_gpu" : "memory_process");
    const text = `${label} ${bytes(memory.used_bytes)} / ${bytes(memory.total_bytes)} · ${t("memory_peak")} ${bytes(peak)}`;
    parts.memoryText.textContent = text;
    canvas.setAttribute("aria-label", text);
    const ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth * ratio;
    const height = canvas.clientHeight * ratio;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const style = getComputedStyle(canvas);
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    const top = 1.15 * peak;
    const x = (i) => width - ((readings.length - 1 - i) * width) / 239;
    const y = (value) => height - 2 - ((height - 4) * value) / top;
    pen.beginPath();
    pen.moveTo(x(0), height);
    readings.forEach((value, i) => pen.lineTo(x(i), y(value)));
    pen.lineTo(width, height);
    pen.fillStyle = style.getPropertyValue("--wan-area");
    pen.fill();
    pen.beginPath();
    readings.forEach((value, i) => pen.lineTo(x(i), y(value)));
    pen.strokeStyle = style.getPropertyValue("--wan-line");
    pen.lineWidth = 1.5 * ratio;
    pen.stroke();
  }

  function drawLog() {
    parts.log.textContent = events.map(({ ms, text }) => `${String(ms).padStart(8)}  ${text}`).join("\n");
    parts.log.scrollTop = parts.log.scrollHeight;
  }

  watch();
})();
