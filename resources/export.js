/* "Export as …" in the dialogs of the sinks: the job that leads to the node, as text for Spark or Flink. */
(function () {
  if (window.ticklakeExport) return;

  var OURS = /^(kafka|iceberg|explode|alpaca|synthetic|csv|pinot|pipeline)-/;
  var PLACES = /^(tab|group|subflow|global-config|tls-config)$/;
  /* What an export looks at in other people's nodes. */
  var KEPT = ["id", "type", "z", "g", "name", "d", "wires", "links", "rules", "env", "in", "out"];

  /** Variables without those that are credentials. */
  var withoutSecrets = function (env) { return (env || []).filter(function (e) { return e.type !== "cred"; }); };

  /** What the open dialog says of its node, deployed or not. */
  var edited = function (node, more) {
    var now = {};
    Object.keys(node._def.defaults).forEach(function (name) {
      var field = $("#node-input-" + name);
      if (!field.length) return;
      now[name] = field.is(":checkbox") ? field.prop("checked") : field.val() === "_ADD_" ? "" : field.val();
    });
    return $.extend(now, more);
  };

  /** All nodes of the editor, the open dialog's as it is now; of credentials only which of them have a value. */
  var nodesNow = function (node, more) {
    return RED.nodes.createCompleteNodeSet({ credentials: false }).map(function (n) {
      var kept = {};
      (OURS.test(n.type) || PLACES.test(n.type) ? Object.keys(n) : KEPT).forEach(function (key) {
        if (n[key] !== undefined && key !== "credentials" && key !== "info") kept[key] = key === "env" ? withoutSecrets(n.env) : n[key];
      });
      if (n.id === node.id) $.extend(kept, edited(node, more));
      var known = (RED.nodes.node(n.id) || {}).credentials;
      if (known && OURS.test(n.type)) kept.credentialsSet = Object.keys(known).filter(function (key) { return known[key]; }).map(function (key) { return key.replace(/^has_/, ""); });
      return kept;
    });
  };

  var save = function (name, text) {
    var url = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
    var link = $("<a>", { href: url, download: name }).appendTo("body");
    link[0].click();
    link.remove();
    setTimeout(function () { URL.revokeObjectURL(url); }, 1000);
  };

  window.ticklakeExport = {
    /** Wires #<type>-export. `formats` are offered in their order; `more()` gives values that no field of the dialog holds as they are saved. */
    button: function (node, type, formats, more) {
      $("#" + type + "-export").on("click", function () {
        var t = function (key, values) { return node._("ticklake.export." + key, values); };
        var current;
        var nodes = nodesNow(node, more ? more() : {});
        var select = $("<select>", { id: "ticklake-export-as", style: "width:auto; margin:0" }).append(formats.map(function (as) { return $("<option>").val(as).text(t("as." + as)); }));
        var hint = $("<div>", { id: "ticklake-export-hint", style: "margin:6px 0" });
        var box = $("<pre>", { id: "ticklake-export-text", tabindex: 0, style: "flex:1; min-height:0; overflow:auto; margin:0; padding:8px; font-size:12px; line-height:1.4; white-space:pre; word-break:normal; user-select:text" });
        var dialog = $("<div>", { id: "ticklake-export", style: "display:flex; flex-direction:column; overflow:hidden" })
          .append($("<div>").append($("<label>", { "for": "ticklake-export-as", style: "display:inline-block; width:auto; margin:0 8px 0 0" }).text(t("format")), select), hint, box);
        var load = function () {
          var as = select.val();
          current = undefined;
          hint.text(t("hint." + as));
          box.text("…");
          $.ajax({ url: "ticklake/" + type + "/export", method: "POST", contentType: "application/json", data: JSON.stringify({ nodes: nodes, id: node.id, as: as }) })
            .done(function (r) { if (select.val() === as) { current = r; box.text(r.text).scrollTop(0); } })
            .fail(function (x) { if (select.val() === as) box.text("✘ " + (x.responseJSON && x.responseJSON.message || x.status + " " + x.statusText)); });
        };
        select.on("change", load);
        dialog.appendTo("body").dialog({
          modal: true, title: t("title"), classes: { "ui-dialog": "red-ui-editor-dialog" },
          width: Math.min(1000, $(window).width() - 40), height: Math.min(760, $(window).height() - 40),
          buttons: [
            { id: "ticklake-export-copy", text: t("copy"), click: function () { if (current) RED.clipboard.copyText(current.text, $("#ticklake-export-copy"), t("copied")); } },
            { id: "ticklake-export-save", text: t("save"), click: function () { if (current) save(current.fileName, current.text); } },
            { id: "ticklake-export-close", text: t("close"), "class": "primary", click: function () { $(this).dialog("close"); } }
          ],
          close: function () { dialog.dialog("destroy").remove(); }
        });
        load();
      });
    }
  };
})();
