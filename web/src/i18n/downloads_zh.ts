/** Chinese texts of models that are missing and come from elsewhere. */

import type { DownloadTexts } from "./downloads_en";

export const DOWNLOADS_ZH: DownloadTexts = {
  "download.ask": "下载 {name}…",
  "download.asking": "正在询问 {host}…",
  "download.offer": "来自 {host}，{size}，放入 models/{folder}。摘要正确后才会命名。可用空间：{free}。",
  "download.start": "下载 {size}",
  "download.progress": "{done} / {size}",
  "download.progressOf": "{name} 的下载",
  "download.waiting": "等待另一个下载",
  "download.stopped": "停在 {done} / {size}",
  "download.goOn": "继续",
  "download.cancel": "取消下载 {name}",
  "download.remove": "移除 {name} 已下载的部分",
};
