// This pack's own workflows in the language of the editor: notes, titles and the labels of boxes. A paragraph or a name
// that a user has changed has no translation and stays.
import { app } from "../../../scripts/app.js";

const LANGUAGES = ["ja", "zh"];
const files = {};

async function translations(language) {
  files[language] ??= fetch(new URL(`./${language}.json`, import.meta.url)).then(answer => answer.json());
  return files[language];
}

/** A name in another language; of "label 2" only the word is translated. */
export function translate(strings, text) {
  if (typeof text !== "string") return text;
  const [, word, number] = text.match(/^(.*?)( \d+)?$/s);
  return strings[text] ?? (number && strings[word] ? strings[word] + number : text);
}

/** Rewrite a workflow before the editor reads it. */
export function rewrite(strings, graph) {
  const say = text => translate(strings, text);
  const boxes = graph.definitions?.subgraphs ?? [];
  for (const node of graph.nodes) {
    if (node.title) node.title = say(node.title);
    if (node.type === "MarkdownNote") {
      node.widgets_values = [node.widgets_values[0].split("\n\n").map(say).join("\n\n")];
      delete node.widgets_values_named;
    }
  }
  for (const box of boxes) box.name = say(box.name);
  for (const owner of [...graph.nodes, ...boxes])
    for (const slot of owner.inputs ?? []) if (slot.label) slot.label = say(slot.label);
}

app.registerExtension({
  name: "LuminaNext.WorkflowLanguage",
  async beforeConfigureGraph(graph) {
    const language = app.extensionManager?.setting?.get("Comfy.Locale");
    if (!graph.extra?.["lumina-next"] || !LANGUAGES.includes(language)) return;
    try {
      rewrite(await translations(language), graph);
    } catch (error) {
      console.warn("Lumina-Next: the workflow stays in English", error);
    }
  },
});
