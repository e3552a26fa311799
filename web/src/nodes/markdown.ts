/** Markdown of files as HTML without anything that runs, loads or reaches out. Loaded with the first note. */

import DOMPurify from "dompurify";
import { Marked } from "marked";

const TAGS = [
  "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "del", "code", "pre", "blockquote",
  "ul", "ol", "li", "a", "table", "thead", "tbody", "tr", "th", "td", "b", "i",
];
/** HTML inside of Markdown: plain tags without attributes count, everything else is shown as it was written. */
const PLAIN_TAGS = new RegExp(`^(?:[^<]|</?(?:${TAGS.join("|")})\\s*/?>)*$`, "i");
const marked = new Marked({
  gfm: true, breaks: true, async: false,
  renderer: { html: ({ text }) => (PLAIN_TAGS.test(text) ? text : escaped(text)) },
});

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

export function safeHtml(text: string): string {
  const html = marked.parse(text) as string;
  const clean = DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS, ALLOWED_ATTR: ["href"], ALLOW_DATA_ATTR: false, ALLOWED_URI_REGEXP: /^https?:\/\//i,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const link of clean.querySelectorAll("a")) {
    link.setAttribute("target", "_blank");
    link.setAttribute("rel", "noopener noreferrer");
    link.setAttribute("data-own", "");
  }
  const holder = document.createElement("div");
  holder.append(clean);
  return holder.innerHTML;
}
