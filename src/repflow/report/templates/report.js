(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent);
  var policyButtons = Array.from(document.querySelectorAll("#policy button"));
  var tokens = policyButtons.length ? policyButtons[0].dataset.tokens : null;
  var hidden = new Set();
  var config = {
    displaylogo: false, responsive: true, showSendToCloud: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
    toImageButtonOptions: { format: "svg" }
  };

  function press(buttons, pressed) {
    buttons.forEach(function (b) { b.setAttribute("aria-pressed", String(b === pressed)); });
  }

  /* On a narrow screen a legend stands on a line a subject: the figure grows by them. */
  function fitted(layout, traces, element) {
    if (!layout.showlegend || element.clientWidth >= 600) { return layout; }
    var lines = traces.filter(function (trace) { return trace.showlegend !== false; }).length;
    return Object.assign({}, layout, { height: layout.height + 20 * lines });
  }

  function Panel(root) {
    var self = this;
    this.root = root;
    this.views = (data[root.dataset.panel] || { views: [] }).views;
    this.plots = Array.from(root.querySelectorAll(".plot"));
    this.tables = Array.from(root.querySelectorAll(".table-view"));
    this.note = root.querySelector(".policy-note");
    this.said = root.querySelector(".said");
    this.ramp = [root.querySelector(".ramp-low"), root.querySelector(".ramp-high")];
    this.buttons = Array.from(root.querySelectorAll(".switch button[data-choice]"));
    this.choice = this.views.length ? this.views[0].choice : null;
    this.near = false;
    this.buttons.forEach(function (button) {
      button.addEventListener("click", function () {
        self.choice = button.dataset.choice;
        press(self.buttons, button);
        self.show();
      });
    });
    root.querySelectorAll("select.choose").forEach(function (select) {
      select.value = self.choice;
      select.addEventListener("change", function () {
        self.choice = select.value;
        self.show();
      });
    });
    var filters = Array.from(root.querySelectorAll("button[data-filter]"));
    filters.forEach(function (button) {
      button.addEventListener("click", function () {
        press(filters, button);
        root.querySelectorAll("figure").forEach(function (figure) {
          figure.hidden = button.dataset.filter !== "all" && !figure.dataset.of.split(" ").includes(button.dataset.filter);
        });
        self.show();
      });
    });
  }

  Panel.prototype.view = function () {
    var same = this.views.filter(function (v) { return v.choice === this.choice; }, this);
    return same.find(function (v) { return v.tokens === tokens; }) || same[0];
  };

  Panel.prototype.show = function () {
    var view = this.view();
    if (!view) { return; }
    var other = tokens !== null && view.tokens !== tokens;
    this.note.hidden = !other;
    this.note.textContent = other ? "shown for tokens: " + view.tokens : "";
    this.tables.forEach(function (t) {
      t.hidden = t.dataset.tokens !== view.tokens || t.dataset.choice !== view.choice;
    });
    if (this.said) { this.said.textContent = view.said || ""; }
    if (this.ramp[0] && view.ramp) {
      this.ramp.forEach(function (end, i) { end.textContent = view.ramp[i]; });
    }
    if (this.near) { this.draw(view); }
  };

  Panel.prototype.draw = function (view) {
    this.plots.forEach(function (element, i) {
      var figure = view.figures[i];
      if (element.closest("figure").hidden) { return; }
      if (!figure) {
        if (element.data) { Plotly.purge(element); }
        element.innerHTML = "";
        var absent = document.createElement("p");
        absent.className = "absent";
        absent.textContent = "no rows for this choice";
        element.appendChild(absent);
        return;
      }
      if (!element.data) { element.innerHTML = ""; }
      var traces = figure.data.map(function (trace) {
        var number = /^s(\d+)-/.exec(trace.uid || "");
        return number && hidden.has(number[1]) ? Object.assign({}, trace, { visible: false }) : trace;
      });
      Plotly.react(element, traces, fitted(figure.layout, traces, element), config);
    });
  };

  Panel.prototype.approach = function () {
    if (!this.near) { this.near = true; this.show(); }
  };

  var panels = Array.from(document.querySelectorAll("[data-panel]")).map(function (root) { return new Panel(root); });
  var all = function (method) { panels.forEach(function (panel) { panel[method](); }); };

  if ("IntersectionObserver" in window) {
    var byRoot = new Map(panels.map(function (panel) { return [panel.root, panel]; }));
    var watcher = new IntersectionObserver(function (seen) {
      seen.forEach(function (entry) {
        if (entry.isIntersecting) { byRoot.get(entry.target).approach(); watcher.unobserve(entry.target); }
      });
    }, { rootMargin: "800px" });
    panels.forEach(function (panel) { watcher.observe(panel.root); });
  } else {
    all("approach");
  }
  window.addEventListener("beforeprint", function () { all("approach"); });

  policyButtons.forEach(function (button) {
    button.addEventListener("click", function () {
      tokens = button.dataset.tokens;
      press(policyButtons, button);
      all("show");
    });
  });
  document.querySelectorAll(".key").forEach(function (key) {
    key.addEventListener("click", function () {
      var number = key.dataset.subject;
      if (hidden.has(number)) { hidden.delete(number); } else { hidden.add(number); }
      key.setAttribute("aria-pressed", String(!hidden.has(number)));
      all("show");
    });
  });
})();
