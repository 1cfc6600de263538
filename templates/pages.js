"use strict";
// Adds what is recognised while the page is open, and buttons to copy. Text is only ever set as text.

const list = document.getElementById("news");

/** A link for web addresses alone; anything else stays text. */
function linked(text, url) {
  const element = document.createElement(/^https?:\/\//i.test(url ?? "") ? "a" : "span");
  element.textContent = text;
  element.dir = "auto";
  if (element.tagName === "A") {
    element.href = url;
    element.rel = "noreferrer nofollow ugc";
  }
  return element;
}

/** The same colour as the server chooses: the sum of the id's bytes. */
function tone(id) {
  return new TextEncoder().encode(id).reduce((sum, byte) => sum + byte, 0) % 6;
}

function minute(text) {
  const parts = new Intl.DateTimeFormat("en-GB", {
    day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: "UTC",
  }).formatToParts(new Date(text));
  const part = Object.fromEntries(parts.map(({type, value}) => [type, value]));
  return `${part.day} ${part.month.slice(0, 3)} ${part.year}, ${part.hour}:${part.minute} UTC`;
}

function show(recognition) {
  const {id, contributor, milestone, contribution, recognized_at: at} = recognition;
  if ([...list.children].some((item) => item.dataset.id === id)) return;
  const item = document.getElementById("one-news").content.firstElementChild.cloneNode(true);
  item.dataset.id = id;
  item.classList.add("fresh");
  const initial = item.querySelector(".initial");
  initial.classList.add(`tone-${tone(contributor.id)}`);
  initial.textContent = [...contributor.login][0].toUpperCase();
  const who = item.querySelector(".who");
  who.textContent = contributor.login;
  who.href = `contributors/${encodeURIComponent(contributor.id)}`;
  item.querySelector(".milestone").textContent = milestone.toLocaleString("en-US");
  if (!contribution) item.querySelector(".work").remove();
  else {
    const title = contribution.title?.trim() ? contribution.title : contribution.kind.replaceAll("_", " ");
    item.querySelector(".work").append(linked(title, contribution.url));
  }
  const time = item.querySelector("time");
  time.dateTime = at;
  time.textContent = minute(at);
  list.prepend(item);
  while (list.children.length > Number(list.dataset.newest)) list.lastElementChild.remove();
  document.getElementById("no-news").hidden = true;
}

/** Listens while the page is seen: a hidden tab holds no connection. */
function listen() {
  const live = document.getElementById("live");
  let source;
  const open = () => {
    if (source && source.readyState !== EventSource.CLOSED) return;
    source = new EventSource("v1/recognitions/stream");
    source.addEventListener("recognition", (event) => show(JSON.parse(event.data)));
    source.onopen = async () => {
      live.hidden = false;
      // What was made before the stream was open, or while it was not.
      const missed = await fetch(`v1/recognitions?limit=${list.dataset.newest}`);
      if (missed.ok) (await missed.json()).items.reverse().forEach(show);
    };
    source.onerror = () => {
      live.hidden = true;
      // The browser tries again by itself, unless it was refused.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => document.hidden || open(), 30_000);
    };
  };
  const look = () => {
    if (!document.hidden) return open();
    source?.close();
    live.hidden = true;
  };
  document.addEventListener("visibilitychange", look);
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", look);
}

function copyButtons() {
  for (const box of document.querySelectorAll(".copy")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-live", "polite");
    button.onclick = async () => {
      try {
        await navigator.clipboard.writeText(box.querySelector("pre").textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(box.querySelector("pre"));
        button.textContent = "Selected";
      }
    };
    box.append(button);
  }
}

if (list) listen();
copyButtons();
