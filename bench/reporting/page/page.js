"use strict";
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", follow);
follow();

for (const table of document.querySelectorAll("table.sorted")) {
  new DataTable(table, {
    paging: false, info: false, order: [], autoWidth: false,
    ordering: { indicators: false, handler: false },
    columnControl: ["order"],
    columnDefs: [{ targets: "filter", columnControl: ["order", ["searchList"]] }],
  });
  for (const head of table.tHead.rows[0].cells) {
    const name = head.querySelector(".dt-column-title").textContent;
    head.querySelector(".dtcc-button_order").setAttribute("aria-label", `Sort by ${name}`);
    head.querySelector(".dtcc-button_dropdown")?.setAttribute("aria-label", `Filter by ${name}`);
  }
}

const { processes, arms } = JSON.parse(document.getElementById("samples").textContent);
const colours = ["#0072B2", "#E69F00"];

function plotted(shown) {
  const rows = shown.flatMap(({ name, group, us }) => us.map((time, round) => ({
    arm: name, process: processes[group][round] + 1, round: round - processes[group].indexOf(processes[group][round]), time,
  })));
  const medians = d3.rollups(rows, (of) => d3.median(of, (row) => row.time), (row) => row.arm, (row) => row.process)
    .flatMap(([arm, of]) => of.map(([process, time]) => ({ arm, process, time })));
  return Plot.plot({
    width: Math.min(900, innerWidth * 0.9), height: 300, marginLeft: 70,
    style: { background: "none" },
    x: { axis: null }, fx: { label: "process" }, y: { label: "microseconds a call", grid: true, zero: false },
    color: { domain: shown.map((arm) => arm.name), range: colours, legend: true },
    marks: [
      Plot.ruleY(medians, { fx: "process", y: "time", stroke: "arm" }),
      Plot.dot(rows, { fx: "process", x: "round", y: "time", stroke: "arm", r: 2 }),
    ],
  });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-arms]");
  if (!button) return;
  const shown = button.dataset.arms.split(",").map((place) => arms[place]);
  const dialog = document.getElementById("opened");
  const title = `${shown[0].work}: ${shown.map((arm) => arm.name).join(" / ")}, ${button.textContent}`;
  dialog.querySelector("h3").textContent = title;
  const plot = plotted(shown);
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", `Samples of ${title}`);
  dialog.querySelector("div").replaceChildren(plot);
  dialog.showModal();
});
