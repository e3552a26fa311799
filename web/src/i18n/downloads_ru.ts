/** Russian texts of models that are missing and come from elsewhere. */

import type { DownloadTexts } from "./downloads_en";

export const DOWNLOADS_RU: DownloadTexts = {
  "download.ask": "Скачать {name}…",
  "download.asking": "Запрос к {host}…",
  "download.offer": "{size} с {host}, в models/{folder}. Имя файл получит, только когда сойдётся его хеш. Свободно: {free}.",
  "download.start": "Скачать {size}",
  "download.progress": "{done} из {size}",
  "download.progressOf": "Загрузка {name}",
  "download.waiting": "Ждёт другую загрузку",
  "download.stopped": "Остановлено на {done} из {size}",
  "download.goOn": "Продолжить",
  "download.cancel": "Отменить загрузку {name}",
  "download.remove": "Убрать скачанное от {name}",
};
