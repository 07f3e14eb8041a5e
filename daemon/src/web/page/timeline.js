'use strict';

/* Time: in words, and as places on a logarithmic scale around now, so that a life of an hour and one of ten years are both seen. */

const MINUTE = 60, HOUR = 3600, DAY = 86400, YEAR = 365 * DAY;
/* What has passed takes this share of the scale, in per cent. */
const PAST = 30;
/* The scale ends at the first, in seconds, either way; closer to now than the second it is all but linear. */
const FARTHEST = 10 * YEAR, NEAREST = 10 * MINUTE;
/* Where there are lines, what they are called, and whether that goes where there is little room. */
const TICKS = [[-YEAR, '−1 y'], [-30 * DAY, ''], [-DAY, '−1 d', 'minor'], [HOUR, '1 h'], [DAY, '1 d'], [7 * DAY, '7 d', 'minor'], [30 * DAY, '30 d'], [90 * DAY, '90 d', 'minor'], [YEAR, '1 y']];

/* The daemon's clock counts, not that of whoever looks. */
let ahead = 0;
const now = () => Date.now() + ahead;
const seconds = time => (Date.parse(time) - now()) / 1000;

/** Where on the scale a time is that lies so many seconds ahead, in per cent. */
const place = distance => {
  const share = Math.min(1, Math.log1p(Math.abs(distance) / NEAREST) / Math.log1p(FARTHEST / NEAREST));
  return distance < 0 ? PAST * (1 - share) : PAST + (100 - PAST) * share;
};

const span = distance => {
  const length = Math.abs(distance);
  if (length < 2 * MINUTE) return `${Math.round(length)} s`;
  if (length < 2 * HOUR) return `${Math.round(length / MINUTE)} min`;
  if (length < 2 * DAY) return `${Math.round(length / HOUR)} h`;
  if (length < 2 * YEAR) return `${Math.round(length / DAY)} d`;
  return `${(length / YEAR).toFixed(1)} y`;
};

const relative = time => seconds(time) < 0 ? `${span(seconds(time))} ago` : `in ${span(seconds(time))}`;
const absolute = time => time.replace('T', ' ').replace(/(\.\d+)?Z$/, ' UTC');

/** An element with this text in it, which is never read as markup, and these children. */
const make = (name, className, text, ...children) => {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined && text !== null) element.textContent = text;
  element.append(...children);
  return element;
};

/** A text of somebody else's, kept from turning what stands beside it around. */
const theirs = (text, className) => make('bdi', className, text);

const moment = time => {
  const element = make('time', '', `${absolute(time)} (${relative(time)})`);
  element.dateTime = time;
  return element;
};

const makeScale = scale => {
  for (const [distance, label, kind] of [...TICKS, [0, 'now', 'now']]) {
    const tick = make('span', kind, label);
    tick.style.left = `${place(distance)}%`;
    scale.append(tick);
  }
};

/** A bar for one certificate's life. */
const makeBar = () => {
  const bar = make('span', 'bar');
  bar.setAttribute('aria-hidden', 'true');
  for (const [distance] of TICKS) {
    const tick = make('i', 'tick');
    tick.style.left = `${place(distance)}%`;
    bar.append(tick);
  }
  const [life, late, line] = [make('i', 'life'), make('i', 'late'), make('i', 'now')];
  line.style.left = `${PAST}%`;
  bar.append(life, late, line);
  return {bar, life, late};
};

/** Draws a life as it is now: up to the time its renewal is due, and from then to its end. */
const draw = ({life, late}, leaf, due) => {
  life.hidden = late.hidden = !leaf;
  if (!leaf) return;
  const [begin, end] = [place(seconds(leaf.not_before)), place(seconds(leaf.not_after))];
  const middle = due ? Math.min(Math.max(place(seconds(due)), begin), end) : end;
  life.style.left = `${begin}%`;
  life.style.width = `${middle - begin}%`;
  life.style.setProperty('--passed', `${middle > begin ? Math.min(100, Math.max(0, (PAST - begin) / (middle - begin) * 100)) : 100}%`);
  late.style.left = `${middle}%`;
  late.style.width = `${end - middle}%`;
  late.hidden = end === middle;
};

/** The end of a certificate in words, and below it when its renewal is due. */
const ending = (leaf, due) => {
  if (!leaf) return ['no certificate', ''];
  if (seconds(leaf.not_before) > 0) return [`valid ${relative(leaf.not_before)}`, `ends ${relative(leaf.not_after)}`];
  if (seconds(leaf.not_after) < 0) return [`ended ${relative(leaf.not_after)}`, ''];
  const renewal = !due ? '' : seconds(due) < 0 ? `renewal overdue for ${span(seconds(due))}` : `renewal due ${relative(due)}`;
  return [`ends ${relative(leaf.not_after)}`, renewal];
};
