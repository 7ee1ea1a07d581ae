// The world `release-notes`. A thrown string becomes the err of its result<_, string>.

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

function slug(title) {
  const plain = title.normalize("NFD").replace(/\p{M}/gu, "");
  return plain.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
}

function inline(text) {
  return text
    .replace(/[&<>"]/g, (character) => ESCAPES[character])
    .replace(/`([^`]+)`/g, "<code>$1</code>")
    .replace(/\*\*(.+?)\*\*/g, "<strong>$1</strong>")
    .replace(/\[([^\]]+)\]\((https:[^)\s]+)\)/g, '<a href="$2">$1</a>');
}

function block(text) {
  const lines = text.split("\n");
  if (lines.every((line) => line.startsWith("- "))) {
    return `<ul>${lines.map((line) => `<li>${inline(line.slice(2))}</li>`).join("")}</ul>`;
  }
  return `<p>${inline(lines.join(" "))}</p>`;
}

export function render(markdown) {
  const [before, ...sections] = markdown.split(/^## /m);
  if (before.trim()) throw "the notes begin with text, not with a section (## title)";
  return sections.map((section) => {
    const [title, ...lines] = section.trim().split("\n");
    const blocks = lines.join("\n").split(/\n{2,}/).map((text) => text.trim()).filter(Boolean);
    return { title, slug: slug(title), html: blocks.map(block).join("\n") };
  });
}
