/* What every part of the page needs: short names, language, theme, the event log, and the state they share.
 *
 * Owns nothing that is drawn. `wan.setup` (texts, presets, examples, wording) is written by web/ui.py.
 */
(() => {
  "use strict";
  const wan = window.wan;
  const { setup } = wan;
  wan.mount = {}; // what draws each place of the page, by its name in web/
  wan.parts = {}; // elements of the page, filled by `wan.mount`
  wan.job = { id: null, session: null, state: null, clips: [], states: {}, notice: "", streaming: true };
  wan.followers = []; // called whenever the job was drawn anew
  wan.statusFollowers = []; // called with every answer of /status
  wan.status = null; // the last answer of /status; `wan.offline` when the server does not answer
  wan.debug = new URLSearchParams(location.search).get("debug") === "1";

  wan.$ = (selector, root = document) => root.querySelector(selector);
  wan.el = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  wan.button = (className, text, onclick) => {
    const node = wan.el("button", className, text);
    node.type = "button";
    node.onclick = onclick;
    return node;
  };
  wan.bytes = (n) => (n < 1e9 ? `${Math.round(n / 1e6)} MB` : `${(n / 1e9).toFixed(1)} GB`);
  wan.sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  /* Storage may be full, or closed to this page as in a private frame: then nothing is kept, and nothing breaks. */
  wan.keep = (store, key, value) => {
    try {
      window[store].setItem(key, JSON.stringify(value));
    } catch (error) {
      wan.log(`${store}: ${error.message}`);
    }
  };
  wan.kept = (store, key) => {
    try {
      return JSON.parse(window[store].getItem(key));
    } catch (error) {
      wan.log(`${store}: ${error.message}`);
      return null;
    }
  };

  /* The event log, for ?debug=1. */
  wan.events = [];
  wan.log = (text) => {
    wan.events.push({ ms: Math.round(performance.now()), text });
    if (wan.events.length > 500) wan.events.shift();
    const { log } = wan.parts;
    if (!wan.debug || !log) return;
    log.textContent = wan.events.map((event) => `${String(event.ms).padStart(8)}  ${event.text}`).join("\n");
    log.scrollTop = log.scrollHeight;
  };

  /* Language: the browser's, until a person switches. */
  const guessed = (navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en";
  wan.language = wan.kept("localStorage", "wan-language") || guessed;
  wan.t = (key, values = {}) => setup.texts[wan.language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
  wan.own = (object, stem) => object[`${stem}_${wan.language}`];
  const drawn = new Set();
  wan.part = (draw) => {
    drawn.add(draw); // draws a part of the page, now and again in another language
    draw();
  };
  wan.switchLanguage = () => {
    wan.keep("localStorage", "wan-language", wan.language === "zh" ? "en" : "zh");
    return wan.useLanguage(wan.kept("localStorage", "wan-language"));
  };
  /* Answers with updates of what Gradio drew itself, in the order of `wording`. */
  wan.useLanguage = (language) => {
    const same = language === wan.language && language === guessed;
    wan.language = language;
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    document.title = wan.t("title");
    for (const draw of drawn) draw();
    return Object.values(setup.wording).map((props) => {
      const update = { __type__: "update" };
      if (!same) for (const [prop, key] of Object.entries(props)) update[prop] = wan.t(key);
      return update;
    });
  };

  wan.switchTheme = () => {
    const dark = document.body.classList.toggle("dark");
    wan.keep("localStorage", "wan-theme", dark ? "dark" : "light");
  };
  const theme = wan.kept("localStorage", "wan-theme");
  if (theme) document.body.classList.toggle("dark", theme === "dark");
})();
