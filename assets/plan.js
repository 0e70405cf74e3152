/* What the settings will take, before a run; another prompt, and the alarm, during one.
 *
 * Owns the last forecast, the confirmation of a red one and the alarm's threshold. The figures are the server's.
 */
(() => {
  "use strict";
  const wan = window.wan;
  const { $, el, button, t, parts, job } = wan;
  const ASK_AFTER_MS = 150;
  const TAKES = ["width", "height", "seconds", "fps", "guidance_scale", "denoise_strength", "num_inference_steps", "batch_size"];

  /* ---- forecast ---- */
  let told = null; // { of, batch, figures }, figures null while the model loads
  let timer = 0;
  let confirmed = "";
  let waiting = null; // the values of a click on Generate that is to be confirmed
  const settings = (request) => Object.fromEntries(TAKES.map((name) => [name, request[name]]));

  wan.foresee = (values) => {
    clearTimeout(timer);
    timer = setTimeout(ask, told ? ASK_AFTER_MS : 0, values);
  };
  async function ask(values) {
    const request = settings(wan.toRequest(values).request);
    const of = JSON.stringify(request);
    if (told && told.figures && told.of === of) return;
    try {
      const answer = await fetch(wan.url("predict"), {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ request }),
      });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      told = { of, batch: request.batch_size, figures: answer.status === 200 ? await answer.json() : null };
    } catch (error) {
      wan.log(`predict: ${error.message}`);
      told = null;
    }
    if (waiting) unask();
    drawForecast();
  }
  const again = () => parts.values && wan.foresee(parts.values);

  const time = (seconds) => (seconds < 10 ? `${seconds.toFixed(1)} s` : seconds < 600 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`);
  function drawForecast() {
    const { forecast } = parts;
    if (!forecast) return;
    forecast.hidden = !told;
    if (!told) return;
    const { figures, batch } = told;
    forecast.dataset.level = figures ? figures.level : "";
    if (!figures) return forecast.replaceChildren(el("span", "", t("forecast_later")));
    const verdict = figures.level === "green" ? "forecast_green" : `forecast_${figures.level}_${figures.reason}`;
    const whole = time(figures.seconds * batch);
    forecast.replaceChildren(
      el("b", "", t(verdict)),
      el("span", "", t("forecast_memory", { needed: wan.bytes(figures.memory_bytes), available: wan.bytes(figures.available_bytes) })),
      el("span", "", t("forecast_time", { first: time(figures.first_frame_seconds), whole: batch > 1 ? `${batch} × ${time(figures.seconds)}` : whole })),
    );
    forecast.title = figures.runs ? t("forecast_runs", { n: figures.runs }) : t("forecast_prior", { machine: figures.fitted_on });
  }

  /* Whether Generate may go on at once: what is foreseen as red is asked about first, and then runs. */
  wan.mayRun = (request, values) => {
    const of = JSON.stringify(settings(request));
    if (!told || !told.figures || told.of !== of || told.figures.level !== "red" || confirmed === of) return true;
    waiting = values;
    const go = button("wan-button wan-go", t("forecast_go"), () => {
      confirmed = of;
      unask();
      wan.submit(...values);
    });
    parts.sure.replaceChildren(
      el("span", "", t(`forecast_sure_${told.figures.reason}`)),
      go,
      button("wan-button", t("forecast_stay"), () => {
        unask();
        $("#wan-generate").focus();
      }),
    );
    parts.sure.hidden = false;
    go.focus();
    return false;
  };
  function unask() {
    waiting = null;
    parts.sure.hidden = true;
  }

  /* ---- another prompt while it streams ---- */
  const typed = () => ($("#wan-prompt textarea")?.value || "").trim();
  let changeDrawn = "";
  function drawChange() {
    if (!parts.change) return;
    const { state } = job;
    const last = state && (state.request.prompt_changes.at(-1) || state.request).prompt;
    const may = state && state.state === "running" && state.num_blocks > 1 && state.block + 1 < state.num_blocks;
    const next = state && state.next_prompt;
    const offered = may && typed() && typed() !== (next || last);
    const now = JSON.stringify([wan.language, may && job.id, offered && typed(), next]);
    if (now === changeDrawn) return;
    changeDrawn = now;
    parts.change.hidden = !may || (!offered && !next);
    if (parts.change.hidden) return;
    const content = [];
    if (next) content.push(el("span", "", t("change_waits", { prompt: next })));
    if (offered) content.push(button("wan-button wan-change-go", t("change_go"), change));
    parts.change.replaceChildren(...content);
  }
  async function change() {
    const { id } = job;
    try {
      const answer = await fetch(wan.url(`jobs/${id}/prompt`), {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ prompt: typed() }),
      });
      const state = await answer.json();
      if (!answer.ok) throw state;
      wan.seen(id, state);
      wan.toast(t("change_taken"));
    } catch (error) {
      wan.showError(error.message_en ? error : { key: "not_reachable" });
    }
  }
  addEventListener("input", (event) => event.target.closest?.("#wan-prompt") && drawChange());

  /* ---- alarm ---- */
  let quiet = null; // id of the job whose alarm was put away
  let alarmDrawn = "";
  function drawAlarm() {
    const { alarm } = parts;
    if (!alarm || !wan.status) return;
    const { memory } = wan.status;
    const percent = (wan.valueOf("alarm_percent") ?? 90) / 100;
    const working = job.clips.some((id) => job.states[id] && !wan.hasEnded(job.states[id]));
    const short = working && memory.free_bytes < (1 - percent) * memory.total_bytes && quiet !== job.id;
    const free = wan.bytes(memory.free_bytes);
    const now = JSON.stringify([wan.language, short, short && free]);
    if (now === alarmDrawn) return;
    alarmDrawn = now;
    if (!short) return (alarm.hidden = true);
    const sentence = t(memory.source === "nvml" ? "alarm_gpu" : "alarm_process", { free });
    if (!alarm.hidden) return (alarm.firstChild.textContent = sentence); // the buttons stay: one may have the focus
    const close = button("wan-close", "×", () => {
      quiet = job.id;
      drawAlarm();
    });
    close.setAttribute("aria-label", t("close"));
    alarm.replaceChildren(el("span", "", sentence), button("wan-button wan-alarm-cancel", t("cancel"), wan.cancel), close);
    alarm.hidden = false;
  }

  let ended = "";
  wan.followers.push(() => {
    drawChange();
    drawAlarm();
    const now = job.state && wan.hasEnded(job.state) ? job.id : "";
    if (now && now !== ended && told) {
      told.of = ""; // the run that ended has taught the server something
      again();
    }
    ended = now;
  });
  let wasReady = false;
  wan.statusFollowers.push(() => {
    drawAlarm();
    const { ready } = wan.status || {};
    if (ready && !wasReady) again();
    wasReady = !!ready;
  });

  wan.mount.plan = (root) => {
    for (const name of ["forecast", "sure", "change"]) parts[name] = $(`.wan-${name}`, root);
    wan.part(drawForecast);
    wan.part(drawChange);
  };
})();
