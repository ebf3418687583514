import { Component, createRef, Fragment, h, render } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import htm from "htm";

export const html = htm.bind(h);
export { Component, createRef, Fragment, h, render, useEffect, useLayoutEffect, useMemo, useRef, useState };

const _paths = {
  approve: "M3 8.5 6.5 12 13 4.5",
  retake: "M13 8a5 5 0 1 1-1.6-3.7M13 2v3.2H9.8",
  discard: "M4 4l8 8M12 4l-8 8",
  play: "M5 3.5v9l7.5-4.5z",
  flag: "M4 14V2.5h8l-2 3 2 3H4",
  note: "M3 3h10v7H8l-3 3v-3H3z",
  broken: "M8 2.5 14.5 13.5H1.5zM8 7v3M8 11.8v.1",
  wait: "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2M8 5v3.2l2 1.6",
  unsure: "M6 6a2 2 0 1 1 2.6 1.9c-.5.2-.6.6-.6 1.1M8 11.4v.1",
  away: "M2.5 5h11M4 5v8h8V5M6 8h4M3.5 2.5h9L13.5 5h-11z",
  close: "M4 4l8 8M12 4l-8 8",
};

export const Icon = ({ name }) => html`
  <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
    <path d=${_paths[name]} fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" />
  </svg>`;
