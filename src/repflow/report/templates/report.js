/* What is shown: the bar's choices, sections that open, panels that follow. */
(function () {
  "use strict";
  var root = document.documentElement;
  var all = function (selector, within) { return Array.from((within || document).querySelectorAll(selector)); };
  var head = JSON.parse(document.getElementById("head").textContent);
  var hidden = new Set();
  var state = { scene: 0, tokens: null, variant: null, axes: "fit", theme: "auto" };
  var LIKE = { raw: ["raw", "uncentred"], centred: ["centred", "standardised"], standardised: ["standardised", "centred"] };
  var system = window.matchMedia("(prefers-color-scheme: dark)");
  var printing = false;

  function isDark() { return !printing && (state.theme === "dark" || (state.theme === "auto" && system.matches)); }

  function press(buttons, pressed) { buttons.forEach(function (b) { b.setAttribute("aria-pressed", String(b === pressed)); }); }

  /* How far a view is from what the bar says. */
  function distance(view) {
    var far = 0;
    if (view.scene !== undefined && view.scene !== state.scene) {
      var a = head.scenes[view.scene], b = head.scenes[state.scene];
      far += a.task === b.task ? 10 + Math.min(5, Math.abs(Math.log2((a.context || 1) / (b.context || 1)))) : 100;
    }
    if (view.variant && state.variant && view.variant !== state.variant) {
      var place = (LIKE[state.variant] || []).indexOf(view.variant);
      far += place < 0 ? 5 : place;
    }
    if (view.axes && view.axes !== state.axes) { far += 1000; }
    return far + (view.tokens !== state.tokens ? 3 : 0);
  }

  function nearest(views) {
    return views.reduce(function (best, view) { return best === null || distance(view) < distance(best) ? view : best; }, null);
  }

  /* Where what is shown is not what was chosen. */
  function noted(view, views) {
    var told = [];
    if (view.scene !== undefined && view.scene !== state.scene) { told.push(head.scenes[view.scene].title); }
    if (view.variant && state.variant && view.variant !== state.variant && !(state.variant === "raw" && view.variant === "uncentred")) { told.push(view.variant); }
    if (view.tokens && view.tokens !== state.tokens && views.some(function (v) { return v.tokens !== "all"; })) { told.push("tokens: " + view.tokens); }
    return told.length ? "shown here: " + told.join(", ") : "";
  }

  function note(element, text) {
    if (element) { element.hidden = !text; element.textContent = text; }
  }

  function Panel(element) {
    var self = this;
    this.root = element;
    this.section = element.dataset.section;
    this.plots = all(".plot", element);
    this.tables = all(".table-view[data-tokens]", element);
    this.note = element.querySelector(".note");
    this.said = element.querySelector(".said");
    this.ramp = all(".ramp-low, .ramp-high", element);
    this.own = null;
    this.near = false;
    var buttons = all("button[data-own]", element);
    buttons.forEach(function (button) {
      button.addEventListener("click", function () { self.own = button.dataset.own; press(buttons, button); self.show(); });
    });
    all("select.choose", element).forEach(function (select) {
      select.addEventListener("change", function () { self.own = select.value; self.show(); });
    });
    var filters = all("button[data-filter]", element);
    filters.forEach(function (button) {
      button.addEventListener("click", function () {
        press(filters, button);
        all("figure", element).forEach(function (figure) {
          figure.hidden = button.dataset.filter !== "all" && !figure.dataset.of.split(" ").includes(button.dataset.filter);
        });
        self.show();
      });
    });
    this.text = element.querySelector(".token-view") ? repflow.tokens(element.querySelector(".token-view"), function () { self.show(); }) : null;
    var numbers = element.querySelector(".as-table");
    if (numbers) { numbers.addEventListener("toggle", function () { self.show(); }); }
  }

  Panel.prototype.data = function () {
    var text = repflow.ready(this.section);
    if (text === null) { return null; }
    parsed[this.section] = parsed[this.section] || JSON.parse(text);
    return parsed[this.section];
  };
  var parsed = {};

  Panel.prototype.show = function () {
    var data = this.data();
    if (!this.near || !data) { return; }
    var views = data.panels[this.root.dataset.panel];
    if (!views.length) { return; }
    var own = this.own === null ? views[0].own : this.own;
    var same = views.filter(function (v) { return v.own === own; });
    var view = nearest(same);
    note(this.note, noted(view, views));
    this.tables.forEach(function (table, place) { table.hidden = views[place] !== view; });
    if (this.said) { this.said.textContent = view.said || ""; }
    if (view.ramp) { this.ramp.forEach(function (end, i) { end.textContent = view.ramp[i]; }); }
    this.draw(view, data.subjects);
  };

  Panel.prototype.draw = function (view, numbers) {
    var list = this.root.querySelector(".as-table");
    if (list && list.open) { list.lastElementChild.replaceChildren(); }
    if (this.text && view.text) {
      this.text.show(view.text);
      if (list && list.open) { list.lastElementChild.appendChild(this.text.tabled(view.text)); }
    }
    if (this.plots.length && repflow.ready("plotly") === null) { return; }
    var choice = { hidden: hidden, numbers: numbers, dark: isDark(), reach: null };
    if (state.axes === "fit") { choice.reach = repflow.reach(view.figures || [], choice); }
    this.plots.forEach(function (element, i) {
      var figure = (view.figures || [])[i];
      if (element.closest("figure").hidden) { return; }
      if (!figure) {
        if (element.data) { repflow.library().purge(element); }
        var absent = document.createElement("p");
        absent.className = "absent";
        absent.textContent = "no rows for this choice";
        element.replaceChildren(absent);
        return;
      }
      if (!element.data) { element.replaceChildren(); }
      repflow.draw(element, figure, choice);
      if (list && list.open) {
        list.lastElementChild.appendChild(repflow.tabled(figure, element.getAttribute("aria-label").split(";")[0]));
      }
    });
  };

  Panel.prototype.approach = function () {
    if (!this.near) { this.near = true; }
    this.show();
  };

  var panels = all("[data-panel]").map(function (element) { return new Panel(element); });
  var rows = all("tr[data-row]");

  function showOverview() {
    var text = repflow.ready("overview");
    if (text === null) { return; }
    parsed.overview = parsed.overview || JSON.parse(text);
    rows.forEach(function (row) {
      var states = parsed.overview[row.dataset.row];
      var view = nearest(states);
      note(row.querySelector(".note"), noted(view, states));
      row.querySelector(".range").textContent = view.range ? ", " + view.range : "";
      all("td", row).forEach(function (cell, i) {
        var found = view.cells[i];
        cell.querySelector(".draw").innerHTML = found ? found[0] : "<small>not measured</small>";
        cell.querySelector(".sr").textContent = row.querySelector("th").firstChild.textContent + ": " + (found ? found[1] : "not measured");
      });
    });
  }

  function showAll() {
    showOverview();
    panels.forEach(function (panel) { if (panel.near) { panel.show(); } });
  }

  /* The bar. */
  function chosen(kind, value) {
    if (kind === "task" || kind === "context") {
      var now = head.scenes[state.scene];
      var task = kind === "task" ? value : now.task;
      var context = kind === "context" ? Number(value) : now.context;
      var fits = head.scenes.map(function (s, i) { return { at: i, far: (s.task === task ? 0 : kind === "task" ? 1e9 : 1) + (s.context === context ? 0 : kind === "task" ? Math.abs(s.context - context) : 1e9) }; });
      state.scene = fits.sort(function (a, b) { return a.far - b.far; })[0].at;
      showScene();
    } else {
      state[kind] = value;
    }
    if (kind === "theme") {
      if (value === "auto") { delete root.dataset.theme; } else { root.dataset.theme = value; }
      try { localStorage.setItem("repflow-theme", value); } catch (error) { /* a page from a file may not keep it */ }
    }
    showAll();
  }

  function showScene() {
    var now = head.scenes[state.scene];
    all("[data-choose=task] button").forEach(function (b) { b.setAttribute("aria-pressed", String(b.dataset.value === now.task)); });
    all("select[data-choose=context]").forEach(function (select) {
      all("option", select).forEach(function (option) {
        option.disabled = !head.scenes.some(function (s) { return s.task === now.task && String(s.context) === option.value; });
      });
      select.value = String(now.context);
    });
  }

  all(".seg[data-choose]").forEach(function (group) {
    var buttons = all("button", group);
    var kind = group.dataset.choose;
    if (kind in state) { var on = group.querySelector("[aria-pressed=true]"); state[kind] = on ? on.dataset.value : state[kind]; }
    buttons.forEach(function (button) {
      button.addEventListener("click", function () { press(buttons, button); chosen(kind, button.dataset.value); });
    });
  });
  all("select[data-choose]").forEach(function (select) {
    select.addEventListener("change", function () { chosen(select.dataset.choose, select.value); });
  });
  if (state.tokens === null) { state.tokens = document.body.dataset.tokens || "all"; }
  if (state.variant === null) { state.variant = "raw"; }
  if (head.scenes.length) { showScene(); }

  function hide(numbers, gone) {
    numbers.forEach(function (n) { if (gone) { hidden.add(n); } else { hidden.delete(n); } });
    all(".key").forEach(function (key) { key.setAttribute("aria-pressed", String(!hidden.has(Number(key.dataset.subject)))); });
    all(".kind").forEach(function (key) {
      key.setAttribute("aria-pressed", String(key.dataset.all.split(" ").some(function (n) { return !hidden.has(Number(n)); })));
    });
    document.getElementById("hiding").textContent = Array.from(hidden, function (n) { return '[data-s~="' + n + '"]{display:none!important}'; }).join("");
    showAll();
    window.dispatchEvent(new Event("resize"));
  }
  all(".key").forEach(function (key) {
    key.addEventListener("click", function () { hide([Number(key.dataset.subject)], key.getAttribute("aria-pressed") === "true"); });
  });
  all(".kind").forEach(function (key) {
    key.addEventListener("click", function () { hide(key.dataset.all.split(" ").map(Number), key.getAttribute("aria-pressed") === "true"); });
  });
  all(".menu").forEach(function (menu) {
    document.addEventListener("click", function (event) { if (!menu.contains(event.target)) { menu.open = false; } });
    menu.addEventListener("keydown", function (event) { if (event.key === "Escape") { menu.open = false; menu.firstElementChild.focus(); } });
  });

  all(".copy").forEach(function (button) {
    button.addEventListener("click", function () {
      var text = button.dataset.copy;
      var done = function () { button.textContent = "copied"; window.setTimeout(function () { button.textContent = "copy"; }, 1500); };
      if (navigator.clipboard) { navigator.clipboard.writeText(text).then(done, function () {}); return; }
      var area = document.createElement("textarea");
      area.value = text;
      document.body.appendChild(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      done();
    });
  });

  /* Sections: drawn when they are open and near the window. */
  var inWindow = "IntersectionObserver" in window ? new IntersectionObserver(function (seen) {
    seen.forEach(function (entry) {
      if (entry.isIntersecting) { byRoot.get(entry.target).approach(); inWindow.unobserve(entry.target); }
    });
  }, { rootMargin: "700px" }) : null;
  var byRoot = new Map(panels.map(function (panel) { return [panel.root, panel]; }));

  function opened(section) {
    Promise.all([repflow.unpack(section.id), repflow.unpack("plotly")]).then(function () {
      all("[data-panel]", section).forEach(function (element) {
        if (inWindow) { inWindow.observe(element); } else { byRoot.get(element).approach(); }
      });
    });
  }

  function toHash() {
    var target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) { return; }
    var section = target.closest("details.scene");
    if (section && !section.open) { section.open = true; }
    window.requestAnimationFrame(function () { target.scrollIntoView(); });
  }

  if (!("DecompressionStream" in window)) {
    document.getElementById("old").hidden = false;
    return;
  }
  head.sections.forEach(function (id) {
    var section = document.getElementById(id);
    section.addEventListener("toggle", function () { if (section.open) { opened(section); } });
  });
  window.addEventListener("hashchange", toHash);
  system.addEventListener("change", showAll);
  try {
    var theme = localStorage.getItem("repflow-theme");
    var select = document.querySelector("select[data-choose=theme]");
    if (theme === "light" || theme === "dark") { select.value = theme; chosen("theme", theme); }
  } catch (error) { /* nothing was kept */ }
  toHash();

  /* Everything is unpacked in the background, so that printing, which waits for nothing, finds it. */
  repflow.unpack("overview").then(showOverview)
    .then(function () { return repflow.unpack("plotly"); })
    .then(function () { return Promise.all(head.sections.map(repflow.unpack)); })
    .then(function () { root.dataset.ready = "true"; });

  var closed = [];
  window.addEventListener("beforeprint", function () {
    if (printing) { return; }
    printing = true;
    root.classList.add("printing");
    closed = all("details:not([open])").filter(function (d) { return !d.matches(".menu, .as-table, .rows"); });
    closed.forEach(function (d) { d.open = true; });
    panels.forEach(function (panel) { panel.approach(); });
  });
  window.addEventListener("afterprint", function () {
    printing = false;
    root.classList.remove("printing");
    closed.forEach(function (d) { d.open = false; });
    showAll();
  });
})();
