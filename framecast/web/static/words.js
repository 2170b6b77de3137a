// Every word of the page, in English and Chinese. A key that is missing in one of them fails a test.
const WORDS = {
  en: {
    skip: "Skip to the content", views: "Views", view_forecast: "Forecast", view_training: "Training runs",
    title: "What happens next?",
    lead: "Give a video, choose a model, and see its next frames beside what really came.",
    source: "Video", source_clip: "Built-in", source_file: "Your file", source_draw: "Draw", clip: "Clip",
    drop: "Drop a video here, or choose one",
    drop_kinds: "mp4, webm, avi, mkv, gif … or .npy; it is gone after the answer",
    model: "Model", past: "Past frames", horizon: "Future frames", more: "More settings",
    where: "Where to forecast", where_known: "The last frames, which are known", where_after: "After the end of the video",
    every: "Every k-th frame", size: "Longer side", size_auto: "Automatic",
    go: "Forecast", working: "Forecasting …", starting: "The server is starting …", no_file: "Choose a video first.",
    no_digit: "Place a digit first.", lost: "The server does not answer. Is it still running?",
    truth: "Truth", forecast: "Forecast", error: "Error", play: "Play", pause: "Pause", scrub: "Frame",
    past_of: "past {n} of {of}", ahead: "+{n} of {of}", given: "given",
    chart: "Mean squared error by lead time. Pick a point to see that frame.",
    mse: "Squared error", lead_time: "Lead time", persistence: "Last frame repeated", skill: "Skill", numbers: "Numbers",
    no_truth: "This is after the end of the video: nobody knows the truth yet.",
    download: "Download", downloading: "Preparing …",
    training_lead: "Curves and sample forecasts, renewed while a run goes on.",
    no_runs: "No run yet. Start one with: framecast train moving_digits --out runs/first",
    going_on: "going on", ended: "ended", steps: "Steps", time: "Time", best: "Best validation MSE", data: "Data",
    curve_loss: "Training loss", curve_validation: "Validation error (MSE)", sample: "Sample forecast at step",
    sample_alt: "Truth, forecast and error at step {n}", step: "step",
    privacy: "Nothing you give is kept, and this page asks no other machine for anything.", api: "REST interface",
    token_title: "This server asks for a token", token: "Token", token_wrong: "That token is wrong.", enter: "Enter",
    pad: "Drawing area, 64 by 64 pixels: press to place a digit, drag to give it its way",
    pad_help: "Pick a digit, press where it starts, and drag in the direction it shall move.",
    digit: "Digit {n}", remove: "Remove digit {n}", x: "x", y: "y", dx: "right", dy: "down",
    parameters_past: "{about}. Reads {past} frames.", trained_on: "Trained on {data}.", wait: "Too much to do: try again in {n} s.",
    data_folder: "clips", data_array: "frames of an array", data_grid: "a grid of measurements", data_moving_digits: "moving digits",
    data_moving_mnist: "Moving MNIST",
    "two digits": "Two moving digits", "three digits": "Three moving digits", showers: "Drifting showers", pendulum: "A pendulum",
  },
  zh: {
    skip: "跳到正文", views: "视图", view_forecast: "预测", view_training: "训练记录",
    title: "接下来会发生什么？",
    lead: "给一段视频，选一个模型，看它预测的后续帧与真实画面并排播放。",
    source: "视频", source_clip: "内置", source_file: "你的文件", source_draw: "绘制", clip: "片段",
    drop: "把视频拖到这里，或点击选择",
    drop_kinds: "mp4、webm、avi、mkv、gif 等，或 .npy；回答之后即删除",
    model: "模型", past: "已知帧数", horizon: "预测帧数", more: "更多设置",
    where: "预测哪一段", where_known: "最后几帧（已知真值）", where_after: "视频结束之后",
    every: "每隔 k 帧取一帧", size: "长边像素", size_auto: "自动",
    go: "开始预测", working: "正在预测……", starting: "服务器正在启动……", no_file: "请先选择一个视频。",
    no_digit: "请先放置一个数字。", lost: "服务器没有应答，它还在运行吗？",
    truth: "真值", forecast: "预测", error: "误差", play: "播放", pause: "暂停", scrub: "帧",
    past_of: "已知 {n} / {of}", ahead: "+{n} / {of}", given: "已知",
    chart: "均方误差随预测步长的变化。点击曲线可查看该帧。",
    mse: "均方误差", lead_time: "步长", persistence: "重复最后一帧", skill: "技巧评分", numbers: "数值",
    no_truth: "这是视频结束之后的画面：真值尚不可知。",
    download: "下载", downloading: "正在准备……",
    training_lead: "训练曲线与样例预测，训练进行时自动更新。",
    no_runs: "还没有训练记录。可以这样开始：framecast train moving_digits --out runs/first",
    going_on: "进行中", ended: "已结束", steps: "步数", time: "用时", best: "最佳验证 MSE", data: "数据",
    curve_loss: "训练损失", curve_validation: "验证误差（MSE）", sample: "样例预测，步数",
    sample_alt: "第 {n} 步的真值、预测与误差", step: "步",
    privacy: "你给的内容不会被保留，本页不会访问任何其他机器。", api: "REST 接口",
    token_title: "此服务器需要令牌", token: "令牌", token_wrong: "令牌不正确。", enter: "进入",
    pad: "绘图区，64×64 像素：按下放置数字，拖动给出方向",
    pad_help: "选一个数字，在起点按下，朝它要移动的方向拖动。",
    digit: "数字 {n}", remove: "移除数字 {n}", x: "x", y: "y", dx: "向右", dy: "向下",
    parameters_past: "{about}。读取 {past} 帧。", trained_on: "训练数据：{data}。", wait: "服务器繁忙，请在 {n} 秒后重试。",
    data_folder: "视频片段", data_array: "数组中的帧", data_grid: "网格测量数据", data_moving_digits: "移动的数字",
    data_moving_mnist: "Moving MNIST",
    about_persistence: "重复最后一帧：技巧评分以它为基准", about_mean_frame: "所有训练帧的平均：不看过去也能做出的预测",
    about_advection: "运动照旧延续：不用学习也能做出的预测",
    about_conv_lstm: "默认模型：几分钟内学到的最多，可逐帧处理，过去和未来的帧数任意",
    about_encoder_forecaster: "适合画面大、运动大的数据，例如雷达：大部分计算在小尺寸上进行",
    about_keras_conv_lstm: "Keras 教程的网络，用于读取它的文件并作比较",
    about_predrnn: "贯穿各层的第二条记忆；在 200 轮的公开结果中领先 ConvLSTM",
    about_predrnn_pp: "已发表的循环模型中最好的，需要原论文的规模和长时间训练",
    about_predrnn_v2: "学会读取更长过去的 predrnn，训练时间也更长", about_mim: "关注变化的 predrnn：适合生长、衰减或加速的过程",
    about_phydnet: "已发表的循环模型中参数最少；运动服从一个方程", about_mau: "用注意力把握多帧的运动，参数很少",
    about_lstm: "全连接，ConvLSTM 就是为胜过它而提出的：只适合固定尺寸的小画面",
    about_simvp: "只用卷积，一次给出所有帧：运行快，需要长时间训练", about_tau: "同 simvp，但按时间加权，损失关注变化",
    about_predformer: "Transformer：长时间训练后在 Moving MNIST 上已发表误差最低",
    about_swin_lstm: "以注意力代替卷积，可逐帧处理；需要长时间训练", about_e3d_lstm: "能回忆先前所见，可逐帧处理；计算量大，适合小画面",
    "two digits": "两个移动的数字", "three digits": "三个移动的数字", showers: "飘移的阵雨", pendulum: "单摆",
  },
};

// A page within that of another site may have no storage: then nothing is remembered.
export const kept = (store, key) => { try { return window[store].getItem(key); } catch { return null; } };
export const keep = (store, key, value) => { try { window[store].setItem(key, value); } catch { /* for this visit only */ } };

let language = kept("localStorage", "language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
const listeners = [];

export const t = (key, values = {}) =>
  (WORDS[language][key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
// A data set by what it is; others by the name that their run gives, which may be any.
export const dataName = (name) => WORDS[language][`data_${name}`] ?? name;
// What a model is good for; in English the server says it.
export const aboutModel = ({ model, about }) => WORDS[language][`about_${model}`] ?? about.charAt(0).toUpperCase() + about.slice(1);
export const chinese = () => language === "zh";
export const onLanguage = (listener) => listeners.push(listener);

// What the forecast is worth. In English the server says it; the rule is that of report/scores.py.
export function verdict(told) {
  if (!chinese() || !told.verdict) return told.verdict;
  const skills = told.scores.skill.per_lead.map((skill, i) => [i + 1, skill]).filter(([, s]) => s !== null);
  const gains = skills.filter(([, skill]) => skill >= 0.005);
  if (!gains.length) return "预测不如重复最后一帧。";
  const ends = gains.length > 1 ? [gains[0], gains[gains.length - 1]] : gains;
  const said = ends.map(([lead, skill]) => `第 ${lead} 帧 ${Math.round(100 * skill)} %`).join("，");
  const lost = skills.length - gains.length;
  return `预测的误差比重复最后一帧小：${said}${lost ? `；但 ${skills.length} 个步长中有 ${lost} 个并不更好` : ""}。`;
}

export function apply() {
  document.documentElement.lang = chinese() ? "zh-CN" : "en";
  for (const el of document.querySelectorAll("[data-t]")) el.textContent = t(el.dataset.t);
  for (const el of document.querySelectorAll("[data-t-label]")) el.setAttribute("aria-label", t(el.dataset.tLabel));
  const button = document.getElementById("language");
  button.textContent = chinese() ? "English" : "中文";
  button.lang = chinese() ? "en" : "zh";
  button.setAttribute("aria-label", chinese() ? "Switch to English" : "切换到中文");
  for (const listener of listeners) listener();
}

export function toggle() {
  language = chinese() ? "en" : "zh";
  keep("localStorage", "language", language);
  apply();
}
