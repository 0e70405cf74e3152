/* What was made before: the strip of videos, and what can be done with the one on the screen.
 *
 * Owns the list of ids that this browser has made, kept in its own storage: the server tells nobody which jobs there
 * are. Opening a job by a link shows it, and does not put it into the list of whoever opens it.
 */
(() => {
  "use strict";
  const wan = window.wan;
  const { $, el, button, t, parts, job } = wan;
  const MAX = 100; // as many as the server keeps
  const MORE = [2, 4, 6, 8];
  const known = new Map(); // id: state, as last heard
  let ids = wan.kept("localStorage", "wan-history") || [];
  let picked = [];

  wan.addToHistory = (made) => {
    ids = [...made, ...ids.filter((id) => !made.includes(id))].slice(0, MAX);
    wan.keep("localStorage", "wan-history", ids);
    draw();
  };
  const lengthOf = (state) => state.frames / state.fps;
  const nameOf = (state) => `${state.request.prompt.slice(0, 40)} · ${lengthOf(state).toFixed(1)} s · ${state.seed}`;
  const comparable = (state) => state && wan.hasEnded(state) && state.frames > 0;

  /* ---- what the server knows of them ---- */
  async function refresh() {
    if (!ids.length) return;
    const asked = ids;
    try {
      const answer = await fetch(wan.url("states"), {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ ids: asked }),
      });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      known.clear();
      for (const state of (await answer.json()).jobs) known.set(state.id, state);
    } catch (error) {
      wan.log(`history: ${error.message}`);
      return;
    }
    ids = ids.filter((id) => known.has(id) || !asked.includes(id)); // others were deleted, here or by their age
    wan.keep("localStorage", "wan-history", ids);
    draw();
  }
  /* Jobs that are not on the screen go on too. */
  async function watch() {
    for (;;) {
      await refresh();
      do await wan.sleep(2000);
      while (document.hidden || !ids.some((id) => !(id in job.states) && known.has(id) && !wan.hasEnded(known.get(id))));
    }
  }

  /* ---- the strip ---- */
  let drawn = "";
  function draw() {
    if (!parts.history) return;
    for (const id of ids) if (job.states[id]) known.set(id, job.states[id]);
    const shown = ids.filter((id) => known.has(id));
    picked = picked.filter((id) => shown.includes(id) && comparable(known.get(id)));
    const told = shown.map((id) => [id, known.get(id).state, known.get(id).frames, id === job.id, picked.indexOf(id)]);
    const now = JSON.stringify([wan.language, told]);
    if (now === drawn) return;
    drawn = now;
    parts.history.hidden = !shown.length;
    $("h2", parts.history).textContent = `${t("history")} ${shown.length}`;
    $(".wan-hint", parts.history).textContent = shown.length > 1 ? t("compare_hint") : "";
    parts.compare.textContent = t("compare");
    parts.compare.hidden = shown.length < 2;
    parts.compare.setAttribute("aria-disabled", String(picked.length < 2));
    const list = $(".wan-tiles", parts.history);
    const old = new Map([...list.children].map((tile) => [tile.dataset.id, tile]));
    list.replaceChildren(...shown.map((id) => fill(old.get(id) || newTile(id), id)));
  }
  function newTile(id) {
    const tile = el("li", "wan-tile");
    tile.dataset.id = id;
    const open = button("wan-tile-open", "", () => {
      if (id !== job.id) wan.show(id, 0, job.streaming);
      parts.player.scrollIntoView({ behavior: "smooth", block: "nearest" });
    });
    const image = el("img");
    image.alt = "";
    open.append(image, el("b", "wan-badge"), el("span", "wan-tile-name"));
    const pick = el("input");
    pick.type = "checkbox";
    pick.onchange = () => {
      picked = [...picked.filter((other) => other !== id), ...(pick.checked ? [id] : [])].slice(-2);
      draw();
    };
    tile.append(open, pick, button("wan-tile-delete", "×", () => remove(tile, id)));
    return tile;
  }
  function fill(tile, id) {
    const state = known.get(id);
    const [open, pick, gone] = tile.children;
    const [image, badge, name] = open.children;
    const ended = wan.hasEnded(state);
    tile.dataset.state = state.state;
    open.setAttribute("aria-current", String(id === job.id));
    open.setAttribute("aria-label", t("history_open", { what: nameOf(state) }));
    open.title = state.request.prompt;
    const first = wan.url(`jobs/${id}/first.jpg`);
    if (state.frames && image.src !== first) image.src = first;
    badge.textContent = state.state === "done" ? `${lengthOf(state)} s` : t(`badge_${state.state}`);
    if (state.state !== "done" && state.frames) badge.textContent += ` ${Math.floor((100 * state.frames) / state.num_frames)} %`;
    name.textContent = state.request.prompt;
    pick.hidden = !comparable(state);
    pick.checked = picked.includes(id);
    pick.setAttribute("aria-label", t("history_pick", { what: nameOf(state) }));
    gone.hidden = !ended;
    gone.setAttribute("aria-label", t("history_delete", { what: nameOf(state) }));
    return tile;
  }

  /* Twice: the first press asks. */
  async function remove(tile, id) {
    const gone = $(".wan-tile-delete", tile);
    if (!gone.dataset.sure) {
      gone.dataset.sure = "1";
      gone.textContent = t("history_sure");
      setTimeout(() => {
        delete gone.dataset.sure;
        gone.textContent = "×";
      }, 4000);
      return;
    }
    try {
      const answer = await fetch(wan.url(`jobs/${id}`), { method: "DELETE" });
      if (!answer.ok && answer.status !== 404) throw await answer.json();
    } catch (error) {
      wan.showError(error.message_en ? error : { key: "not_reachable" });
      return;
    }
    const next = tile.nextElementSibling || tile.previousElementSibling;
    ids = ids.filter((other) => other !== id);
    known.delete(id);
    wan.keep("localStorage", "wan-history", ids);
    if (id === job.id) wan.leave();
    draw();
    if (next) $(".wan-tile-open", next).focus();
    wan.toast(t("history_deleted"));
  }

  /* ---- what can be done with the video on the screen ---- */
  let drawnNext = "";
  let more = 4;
  function drawNext() {
    if (!parts.next) return;
    const { state } = job;
    const ended = !!state && wan.hasEnded(state);
    const now = JSON.stringify([wan.language, ended && [state.id, state.can_continue, state.frames], more]);
    if (now === drawnNext) return;
    drawnNext = now;
    parts.next.hidden = !ended;
    if (!ended) return;
    const { request } = state;
    const again = button("wan-button wan-again", t("again"), () => wan.launch({ ...request, seed: -1 }, job.streaming));
    const settings = button("wan-button wan-use", t("use_settings"), () => parts.useSettings("click"));
    const offered = [again];
    if (state.can_continue && state.frames < state.num_frames) {
      offered.unshift(button("wan-button wan-continue", t("continue_end"), () => wan.launch(request, job.streaming, state)));
    } else if (state.can_continue) offered.unshift(longer(state));
    if (state.frames) {
      const poster = el("a", "wan-button wan-poster-link", t("poster"));
      poster.href = wan.url(`jobs/${state.id}/first.jpg?download=1`);
      offered.push(poster);
    }
    parts.next.replaceChildren(...offered, settings);
  }
  function longer(state) {
    const group = el("span", "wan-longer");
    const seconds = el("select");
    seconds.setAttribute("aria-label", t("continue_seconds"));
    for (const n of MORE) seconds.append(new Option(t("continue_by", { n }), n, n === more, n === more));
    seconds.onchange = () => (more = Number(seconds.value));
    const { request } = state;
    const go = button("wan-button wan-continue", t("continue_more"), () => {
      const earlier = request.earlier_seconds + request.seconds;
      wan.launch({ ...request, seconds: more, earlier_seconds: earlier }, job.streaming, state);
    });
    group.append(go, seconds);
    return group;
  }
  wan.useSettings = (...current) => {
    wan.toast(t("preset_loaded"));
    return wan.spread(job.state.request, current);
  };

  /* ---- a file dropped anywhere on the page goes where the button's would ---- */
  const files = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  let veil = null;
  function drop(shown) {
    if (shown && !veil) document.body.append((veil = el("div", "wan-drop", t("drop_here"))));
    if (!shown && veil) veil = veil.remove();
  }
  addEventListener("dragover", (event) => {
    if (!files(event) || event.defaultPrevented) return;
    event.preventDefault();
    drop(true);
  });
  addEventListener("dragleave", (event) => !event.relatedTarget && drop(false));
  addEventListener("drop", (event) => {
    drop(false);
    if (!files(event) || event.defaultPrevented) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (!/\.(json|mp4)$/i.test(file.name)) return wan.toast(t("drop_other"));
    const input = $("#wan-preset-row input[type=file]");
    const one = new DataTransfer();
    one.items.add(file);
    input.files = one.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });

  addEventListener("hashchange", () => wan.restore(true));
  wan.followers.push(() => {
    draw();
    drawNext();
  });

  Object.assign(wan.mount, {
    next(root, trigger) {
      parts.next = $(".wan-next", root);
      parts.useSettings = trigger;
      wan.part(drawNext);
    },
    history(root) {
      parts.history = $(".wan-history", root);
      parts.compare = $(".wan-history-compare", root);
      parts.compare.onclick = () => picked.length === 2 && wan.compare(...picked.map((id) => known.get(id)));
      wan.part(draw);
      watch();
    },
  });
})();
