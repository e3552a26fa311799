/** English texts of models that are missing and come from elsewhere. */

export const DOWNLOADS_EN = {
  "download.ask": "Download {name}…",
  "download.asking": "Asking {host}…",
  "download.offer": "{size} from {host}, into models/{folder}. It gets its name only when its digest is right. Free: {free}.",
  "download.start": "Download {size}",
  "download.progress": "{done} of {size}",
  "download.progressOf": "Download of {name}",
  "download.waiting": "Waiting for another download",
  "download.stopped": "Stopped at {done} of {size}",
  "download.goOn": "Go on",
  "download.cancel": "Cancel the download of {name}",
  "download.remove": "Remove what came of {name}",
} as const satisfies Readonly<Record<string, string>>;

export type DownloadTexts = { readonly [key in keyof typeof DOWNLOADS_EN]: string };
