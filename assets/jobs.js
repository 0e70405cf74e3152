/* The page's job: sends the request, watches its state and the server's, finds it again after a reload.
 *
 * Owns `wan.job`. The picture is assets/player.js's, every drawing assets/view.js's.
 */
(() => {
  "use strict";
  const wan = window.wan;
  const { $, job, log, parts, sleep } = wan;
  const REOPENINGS = 2; // a browser that gives a stream up once more will not show it
  const running = (id) => !job.states[id] || !wan.hasEnded(job.states[id]);

  let clicked = 0; // the DOM's own time of the click, for the marks
  document.addEventListener(
    "click",
    (event) => {
      if (event.target.closest("#wan-generate")) clicked = event.timeStamp;
    },
    true,
  );

  /* Not crypto.randomUUID: that exists on secure origins only, and a machine in the local network is none. */
  function newId() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  wan.submit = (...values) => {
    const { streaming, request } = wan.toRequest(values);
    if (!wan.mayRun(request, values)) return;
    wan.launch(request, streaming);
    wan.keepDraft(...values);
  };

  /* Ask for a job; `earlier` is the state of one that it goes on from. */
  wan.launch = (request, streaming, earlier) => {
    const id = newId();
    wan.showError(null);
    // What was seen before is played again for a second only, so that the join is seen.
    const position = earlier ? Math.max(0, earlier.frames / earlier.fps - 1) : 0;
    const session = new wan.Session(parts.screen, id, { position, report: reporter(id) });
    session.marks.click = clicked || performance.now();
    clicked = 0;
    const accepted = send({ id, request, ...(earlier && { continues: earlier.id }) }).then(
      (state) => {
        session.mark("accepted");
        const clips = [id, ...state.clips];
        take(session, state, { streaming, clips });
        wan.addToHistory(clips);
        if (streaming && earlier) session.stream(Promise.resolve(true)); // its position needs the clip's length
        const { top } = parts.player.getBoundingClientRect();
        if (top > innerHeight - 120) parts.player.scrollIntoView({ behavior: "smooth" }); // below the fold on a phone
        return true;
      },
      (error) => {
        session.close();
        wan.showError(error);
        return false;
      },
    );
    if (streaming && !earlier) session.stream(accepted); // in the tick of the click: the answer is not waited for
  };

  /* One POST; asked again with the same id when no answer came, which is safe: the server knows the id. */
  async function send(body) {
    let answer = null;
    for (let i = 0; i < 3 && !answer; i++) {
      try {
        answer = await fetch(wan.url("jobs"), {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(body),
        });
      } catch (error) {
        log(`submit: ${error.message}`);
        await sleep(300 * (i + 1));
      }
    }
    if (!answer) throw { key: "error_submit" };
    if (answer.status === 401) throw { key: "error_login" };
    const told = await answer.json().catch(() => ({}));
    if (answer.ok) return told;
    throw told.message_en ? told : { message_zh: `HTTP ${answer.status}`, message_en: `HTTP ${answer.status}` };
  }

  /* Make a session's job the page's job, and its picture the one on the screen. */
  function take(session, state, { streaming, clips }) {
    if (job.session) job.session.close();
    const states = clips === job.clips ? job.states : {};
    Object.assign(job, { id: session.id, session, state, streaming, clips, states, notice: "" });
    states[session.id] = state;
    session.observe(state);
    session.present();
    remember(0);
    history.replaceState(null, "", `#job=${session.id}`);
    log(`job ${session.id} ${state.state}`);
    wan.drawJob();
    poll();
  }

  function reporter(id) {
    return (name, details) => {
      const current = job.session && job.session.id === id;
      if (name === "flowing") {
        if (current && job.notice) note("");
        return;
      }
      if (name === "state") {
        if (current) seen(id, details);
        return;
      }
      log(name === "mark" ? `${details.name} ${Math.round(details.time)} ms` : `${name} ${JSON.stringify(details)}`);
      if (!current) return;
      if (name === "reconnecting") note("reconnecting");
      else if (name === "gone") note("unknown_job");
      else if (name === "broken") reopen(job.session);
      else if (name === "error") wan.showError({ key: "error_play", values: details });
      else wan.drawJob();
    };
  }
  function note(key) {
    job.notice = key;
    wan.drawJob();
  }

  /* A picture that broke begins anew, at the same moment: from the finished file, or, a few times, as a stream. What was
   * counted goes on. */
  function reopen({ id, broken, reopened, marks, stats, personPaused }) {
    const done = job.state.state === "done";
    if (!done && reopened === REOPENINGS) return wan.showError({ key: "error_play", values: broken });
    wan.showError(null);
    const session = new wan.Session(parts.screen, id, { position: broken.at, report: reporter(id) });
    Object.assign(session, { reopened: reopened + 1, marks, stats, personPaused });
    take(session, job.state, job);
    if (done) session.playFile(broken.at, !personPaused);
    else session.stream(Promise.resolve(true));
  }

  /* Attach to a job that exists already: after a reload, by a link, or another clip of a batch. */
  wan.show = async (id, position, streaming) => {
    const session = new wan.Session(parts.screen, id, { position, report: reporter(id) });
    session.marks.click = performance.now();
    let state;
    try {
      state = await session.refresh();
    } catch (error) {
      log(`job ${id}: ${error.message}`);
      note("unknown_job");
      return;
    }
    take(session, state, { streaming, clips: job.clips.includes(id) ? job.clips : [id, ...state.clips] });
    const whole = state.state === "done" || (!streaming && wan.hasEnded(state) && state.frames);
    if (whole) session.playFile(position);
    else if (streaming) session.stream(Promise.resolve(true));
  };

  function remember(position) {
    wan.keep("sessionStorage", "wan-job", { id: job.id, streaming: job.streaming, position });
  }
  addEventListener("pagehide", () => {
    if (job.session) remember(job.session.video.currentTime);
  });
  /* Show no job any more. */
  wan.leave = () => {
    if (job.session) job.session.close();
    Object.assign(job, { id: null, session: null, state: null, clips: [], states: {}, notice: "" });
    parts.screen.replaceChildren();
    history.replaceState(null, "", location.pathname + location.search);
    wan.drawJob();
  };
  /* The job of the address, at first, and when a person puts another link into it. */
  wan.restore = (again) => {
    const id = (location.hash.match(/job=([0-9a-f]{32}(?:-\d)?)/) || [])[1];
    if (!id || (again ? id === job.id : job.id)) return;
    const kept = wan.kept("sessionStorage", "wan-job");
    if (kept && kept.id === id) wan.show(id, kept.position, kept.streaming);
    else wan.show(id, 0, true);
  };

  wan.cancel = async () => {
    for (const id of job.clips.filter(running)) {
      try {
        const answer = await fetch(wan.url(`jobs/${id}/cancel`), { method: "POST" });
        if (answer.ok) seen(id, await answer.json());
      } catch (error) {
        log(`cancel: ${error.message}`);
        wan.showError({ key: "not_reachable" });
      }
    }
  };

  /* States of the jobs, twice a second while one runs. */
  let polling = false;
  async function poll() {
    if (polling) return;
    polling = true;
    while (job.clips.some(running)) {
      for (const id of job.clips.filter(running)) {
        try {
          const answer = await fetch(wan.url(`jobs/${id}`), { cache: "no-store" });
          if (answer.ok) seen(id, await answer.json());
          else if (answer.status === 404) seen(id, { ...(job.states[id] || job.state), state: "failed" });
        } catch (error) {
          log(`state: ${error.message}`);
        }
      }
      await sleep(document.hidden ? 2000 : 500);
    }
    polling = false;
  }
  function seen(id, state) {
    const before = job.states[id];
    if (before && wan.hasEnded(before) && !wan.hasEnded(state)) return; // an answer that was overtaken
    job.states[id] = state;
    if (!before || before.state !== state.state) log(`job ${id.slice(0, 8)} ${state.state}`);
    if (id === job.id) {
      job.state = state;
      job.session.observe(state);
      const { source, broken, swapped } = job.session;
      if (state.state === "done" && !swapped && broken) reopen(job.session);
      else if (state.state === "done" && !swapped && !source) job.session.playFile(0);
    }
    wan.drawJob();
  }

  /* The server's status, twice a second while the page is seen. */
  async function watch() {
    for (;;) {
      if (!document.hidden) {
        try {
          const answer = await fetch(wan.url("status"), { cache: "no-store" });
          if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
          wan.status = await answer.json();
          wan.offline = false;
        } catch (error) {
          if (!wan.offline) log(`status: ${error.message}`);
          wan.offline = true;
        }
        wan.drawStatus();
      }
      await sleep(500);
    }
  }
  Object.assign(wan, { watch, seen });
})();
