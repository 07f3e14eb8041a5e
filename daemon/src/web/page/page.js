
/* Every text on the page is set as text: names in certificates are what others wrote. */

const byId = id => document.getElementById(id);
/* How many rows are built in one frame, and at most before somebody asks for more. */
const CHUNK = 100, PORTION = 1000;
/* A stream of updates ends within a minute; silence for longer is a daemon that stands still. */
const SILENCE = 75_000, NEWS = 20, NAMED = 3;

/** What there is to say of an identity: its words, how bad it is, and its place in the order. The first that fits. */
const STATES = {
  unpublished: ['not published', 'bad', row => row.generation === null],
  expired: ['expired', 'bad', row => row.leaf && seconds(row.leaf.not_after) < 0],
  rejected: ['rejected', 'bad', row => row.findings.some(finding => finding.severity === 'reject')],
  behind: ['has stragglers', 'bad', row => !row.is_well],
  warned: ['warning', 'warn', row => row.findings.some(finding => finding.severity === 'warn')],
  well: ['well', 'good', () => true],
};
const ORDER = Object.keys(STATES);
const SIGNS = {bad: '✕', warn: '!', good: '✓'};
const SEVERITIES = {reject: ['Rejected', 'bad'], warn: ['Warning', 'warn'], info: ['Note', '']};
/* What is wrong with it is told like a finding, and is none of the checks. */
const CONFIGURATION = 'configuration';
const stateOf = row => ORDER.find(state => STATES[state][2](row));
const isProblem = state => STATES[state][1] === 'bad';

/** Every identity by its name: what was told, and its row once that is seen. */
const kept = new Map();
let shown = [], portion = PORTION, complete = false, seen = new Set(), heard = Date.now();

const counted = (count, one, many) => `${count} ${count === 1 ? one : many}`;

/* The rows. */

const facts = pairs => {
  const list = make('dl');
  for (const [name, ...values] of pairs) {
    const told = values.flat().filter(value => value !== null && value !== undefined && value !== '');
    if (told.length === 0) continue;
    list.append(make('dt', '', name), make('dd', '', null, ...told.flatMap((value, index) => [index ? ', ' : '', value instanceof Node ? value : theirs(String(value))])));
  }
  return list;
};

const makeFinding = finding => {
  const [word, kind] = SEVERITIES[finding.severity] ?? SEVERITIES.info;
  const item = make('li', kind, null, make('p', '', null, make('strong', '', `${word}: `), make('code', '', finding.check), ': ', theirs(finding.sentence)));
  const more = facts([['File', finding.file], ['Found', finding.found], ['Expected', finding.expected]]);
  if (more.childNodes.length) item.append(more);
  if (finding.check === CONFIGURATION) return item;
  const ask = make('button', '', 'What to do');
  ask.type = 'button';
  ask.setAttribute('aria-expanded', 'false');
  ask.setAttribute('aria-label', `What to do about ${finding.check}`);
  const advice = make('p', 'advice');
  advice.hidden = true;
  ask.addEventListener('click', async () => {
    advice.hidden = !advice.hidden;
    ask.setAttribute('aria-expanded', String(!advice.hidden));
    if (advice.hidden || advice.textContent) return;
    try {
      const answer = await fetch(`/checks/${encodeURIComponent(finding.check)}`);
      advice.textContent = answer.ok ? (await answer.text()).trim() : 'This daemon has no page about it.';
    } catch {
      advice.textContent = 'The daemon does not answer.';
      setTimeout(() => { advice.textContent = ''; }, 5000);
    }
  });
  item.append(ask, advice);
  return item;
};

const makeSubscriber = who => {
  const whose = who.whose === null ? `a process of the node (number ${who.id})` : who.whose;
  const doing = who.lost_since ? `lost ${relative(who.lost_since)}: it does not answer, and its process lives`
    : who.behind_since ? `${who.state} for ${span(seconds(who.behind_since))}` : who.state;
  const item = make('li', who.is_well ? '' : 'bad', null, theirs(whose), `: ${who.is_well ? '' : 'needs a look, '}${doing}`);
  if (who.connections_on_older) item.append(`, ${counted(who.connections_on_older, 'older connection', 'older connections')}`);
  if (who.unattested) item.append(' (by its own word)');
  if (who.reason) item.append(': ', theirs(who.reason));
  return item;
};

const makeDetail = row => {
  const detail = make('div', 'detail');
  const part = (title, list) => detail.append(make('h3', '', title), list);
  const more = Object.fromEntries(Object.entries(row.more).map(([of, count]) => [of, count ? `and ${count} more` : '']));
  const listed = (kind, items, more) => make('ul', kind, null, ...items, ...more ? [make('li', '', more)] : []);
  if (row.findings.length) part('What was found', listed('findings', row.findings.map(makeFinding), more.findings));
  const {leaf} = row;
  const names = leaf ? [...leaf.dns_names, ...leaf.ip_addresses, ...leaf.uris] : [];
  detail.append(facts([
    ['Name', row.title], ['Its pod', row.doubt],
    ['Subject', leaf?.subject], ['Issuer', leaf?.issuer],
    ['Names', names, more.names],
    ['Serial number', leaf?.serial], ['SHA-256', leaf?.sha256],
    ['Valid from', leaf && moment(leaf.not_before)], ['Ends', leaf && moment(leaf.not_after)],
    ['Renewal due', row.renewal_due && moment(row.renewal_due)],
    ['Generation', row.generation], ['Published', row.published && moment(row.published)],
    ['Chain', leaf && `the leaf and ${counted(row.intermediates, 'intermediate', 'intermediates')}`],
    ['Trusts', row.generation !== null && counted(row.anchors, 'anchor', 'anchors'), row.federated.map(one => `${one.anchors} of ${one.trust_domain}`), more.federated],
    ['Trusted for a while', row.retained.map(one => make('span', '', null, theirs(one.subject), ' until ', moment(one.until))), more.retained],
    ['Revocation lists', row.crls.map(one => make('span', '', null, theirs(one.issuer), `: ${one.revoked} revoked`, one.next_update ? ', next ' : '', one.next_update ? moment(one.next_update) : '')), more.crls],
    ['Files', row.files, more.files],
    ['In use', row.settled === null || !row.subscribers.length ? '' : row.settled ? 'by all who use it, and no connection is older' : `not by all who use it; ${counted(row.connections_on_older, 'connection is', 'connections are')} older`],
  ].map(([name, ...values]) => [name, ...values.map(value => value === false ? '' : value)])));
  if (row.subscribers.length) part('Who uses it', listed('subscribers', row.subscribers.map(makeSubscriber), more.subscribers));
  return detail;
};

/** The row of an identity, made when it is first seen; what is below it is made when it is opened. */
const rowOf = entry => {
  if (entry.item) return entry.item;
  const [state, name, ends, bar] = [make('span'), make('bdi', 'name'), make('span', 'ends'), makeBar()];
  const details = make('details', '', null, make('summary', '', null, state, name, bar.bar, ends));
  details.addEventListener('toggle', () => {
    const detail = details.querySelector('.detail');
    if (!details.open) detail?.remove();
    else if (!detail) details.append(makeDetail(entry.row));
  });
  Object.assign(entry, {item: make('li', '', null, details), details, parts: {state, name, ends, bar}});
  refresh(entry);
  return entry.item;
};

/** Writes what follows from the time of now. */
const refresh = entry => {
  if (!entry.item) return;
  const {row, parts: {state, name, ends, bar}} = entry;
  const [word, kind] = STATES[entry.state];
  state.className = `state ${kind}`;
  state.textContent = `${SIGNS[kind]} ${word}`;
  name.textContent = name.title = row.title;
  const [end, renewal] = ending(row.leaf, row.renewal_due);
  ends.replaceChildren(end, make('small', '', renewal));
  draw(bar, row.leaf, row.renewal_due);
};

/* The list: what fits, in order, built a part at a time so that nobody waits for it. */

const search = byId('search'), order = byId('order'), list = byId('list'), filter = byId('filter');
let building = 0;

const byEnd = entry => entry.row.leaf ? Date.parse(entry.row.leaf.not_after) : Infinity;
const COMPARE = {
  attention: (one, other) => ORDER.indexOf(one.state) - ORDER.indexOf(other.state) || COMPARE.end(one, other),
  end: (one, other) => byEnd(one) - byEnd(other) || COMPARE.name(one, other),
  name: (one, other) => one.row.title < other.row.title ? -1 : one.row.title > other.row.title ? 1 : 0,
};

const arrange = () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = filter.querySelector('input:checked')?.value ?? 'all';
  const fits = entry => (wanted === 'all' || (wanted === 'problems' ? isProblem(entry.state) : entry.state === wanted))
    && words.every(word => entry.text.includes(word));
  const next = [...kept.values()].filter(fits).sort(COMPARE[order.value]);
  const told = next.length === kept.size ? counted(kept.size, 'identity', 'identities') : `${next.length} of ${kept.size} identities`;
  if (byId('count').textContent !== told) byId('count').textContent = told;
  if (next.length === shown.length && next.every((entry, index) => entry === shown[index]) && list.childNodes.length >= Math.min(portion, next.length)) return;
  shown = next;
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  build(++building, 0, focused);
};

/** Puts the next rows in their places; a newer order ends this one. */
const build = (turn, from, focused) => {
  if (turn !== building) return;
  const last = Math.min(shown.length, portion);
  const to = Math.min(last, from + CHUNK);
  for (let index = from; index < to; index++) {
    const item = rowOf(shown[index]);
    if (list.childNodes[index] !== item) list.insertBefore(item, list.childNodes[index] ?? null);
  }
  // Moving an element takes the focus from it.
  if (focused?.isConnected && document.activeElement !== focused) focused.focus({preventScroll: true});
  if (to < last) return requestAnimationFrame(() => build(turn, to, focused));
  while (list.childNodes.length > last) list.lastChild.remove();
  const more = byId('more');
  more.hidden = shown.length <= portion;
  more.textContent = `Show ${Math.min(PORTION, shown.length - portion)} more`;
};

/** Which states there are and how many of each, as a choice. */
const countStates = () => {
  const counts = Object.fromEntries(ORDER.map(state => [state, 0]));
  for (const {state} of kept.values()) counts[state]++;
  const problems = ORDER.filter(isProblem).reduce((sum, state) => sum + counts[state], 0);
  const choices = [['all', 'all', kept.size], ['problems', 'problems', problems], ...ORDER.map(state => [state, STATES[state][0], counts[state]])];
  for (const [value, word, count] of choices) {
    let label = [...filter.querySelectorAll('label')].find(label => label.control.value === value);
    if (!label) {
      const input = make('input');
      Object.assign(input, {type: 'radio', name: 'show', value, checked: value === 'all'});
      label = make('label', '', null, input, ' ', make('span'));
      filter.append(label);
    }
    label.lastChild.textContent = `${word} (${count})`;
    label.hidden = count === 0 && !['all', 'problems'].includes(value) && !label.control.checked;
  }
  document.title = problems ? `(${problems}) evercertd` : 'evercertd';
};

/* What is told. */

const tell = sentences => {
  const told = sentences.length > NAMED ? [...sentences.slice(0, NAMED), `and ${sentences.length - NAMED} changes more`] : sentences;
  for (const sentence of told) {
    const time = make('time', '', new Date(now()).toLocaleTimeString());
    time.dateTime = new Date(now()).toISOString();
    byId('news').prepend(make('li', '', null, time, theirs(sentence)));
  }
  while (byId('news').childNodes.length > NEWS) byId('news').lastChild.remove();
  byId('no-news').hidden = byId('news').childNodes.length > 0;
};

const change = (before, row, state) => {
  if (!before) return `${row.title} is kept now`;
  if (row.leaf && before.row.leaf?.sha256 !== row.leaf.sha256) return `${row.title} rotated: its new certificate ends ${relative(row.leaf.not_after)}`;
  return before.state !== state ? `${row.title}: ${STATES[state][0]}` : null;
};

const takeIdentity = (row, news) => {
  seen.add(row.id);
  const before = kept.get(row.id), json = JSON.stringify(row);
  if (before?.json === json) return;
  const state = stateOf(row);
  const sentence = complete && change(before, row, state);
  if (sentence) news.push(sentence);
  const names = row.leaf ? [row.leaf.subject, row.leaf.issuer, row.leaf.serial, row.leaf.sha256, ...row.leaf.dns_names, ...row.leaf.ip_addresses, ...row.leaf.uris] : [];
  const findings = row.findings.flatMap(finding => [finding.check, finding.sentence]);
  const entry = Object.assign(before ?? {}, {row, json, state, text: [row.title, STATES[state][0], ...names, ...findings, ...row.files].join('\n').toLowerCase()});
  kept.set(row.id, entry);
  refresh(entry);
  const detail = entry.details?.querySelector('.detail');
  if (detail) {
    const hadFocus = detail.contains(document.activeElement);
    detail.replaceWith(makeDetail(row));
    if (hadFocus) entry.details.firstChild.focus();
  }
};

const takeDaemon = daemon => {
  byId('about').textContent = `${daemon.version}, ${daemon.mode}, started ${relative(daemon.started)}, ${daemon.ready ? 'every identity of the node is published' : 'not everything is published'}`;
  const failed = daemon.config_error ? [{check: CONFIGURATION, severity: 'reject', sentence: `The configuration could not be read again: ${daemon.config_error}`}] : [];
  const items = [...failed, ...daemon.findings].map(makeFinding);
  byId('daemon').hidden = items.length === 0;
  byId('daemon').querySelector('ul').replaceChildren(...items);
};

const takeTrust = ({anchors, more}) => {
  byId('trust-count').textContent = `${counted(anchors.length + more, 'anchor', 'anchors, those that end first come first')}${more ? `; the first ${anchors.length} are listed` : ''}`;
  byId('trust').replaceChildren(...anchors.map(anchor => {
    const left = seconds(anchor.not_after);
    const word = left < 0 ? ['✕ ended', 'bad'] : left < 30 * DAY ? ['! ends soon', 'warn'] : null;
    const ends = make('td', '', null, moment(anchor.not_after));
    if (word) ends.append(' ', make('span', `state ${word[1]}`, word[0]));
    const count = counted(anchor.identities, 'identity', 'identities');
    return make('tr', '', null, make('td', '', null, theirs(anchor.subject)), ends, make('td', '', count), make('td', 'mono', anchor.sha256));
  }));
};

const forget = (id, news) => {
  const entry = kept.get(id);
  if (!entry) return;
  kept.delete(id);
  entry.item?.remove();
  news.push(`${entry.row.title} is no longer kept`);
};

const take = update => {
  heard = Date.now();
  ahead = Date.parse(update.now) - heard;
  const news = [];
  for (const row of update.identities ?? []) takeIdentity(row, news);
  for (const id of update.removed ?? []) forget(id, news);
  if (update.daemon) takeDaemon(update.daemon);
  if (update.trust) takeTrust(update.trust);
  if (update.complete) {
    for (const id of [...kept.keys()].filter(id => !seen.has(id))) forget(id, news);
    complete = true;
    countStates();
    arrange();
  }
  tell(news);
};

const connection = byId('connection');
const connected = (good, words) => {
  if (connection.textContent === words) return;
  connection.textContent = words;
  connection.className = good ? '' : 'lost';
};

let lost = 0;
const follow = () => {
  const updates = new EventSource('/updates');
  updates.addEventListener('open', () => {
    clearTimeout(lost);
    lost = 0;
    heard = Date.now();
    seen = new Set();
  });
  updates.addEventListener('message', ({data}) => {
    take(JSON.parse(data));
    connected(true, 'Live');
  });
  updates.addEventListener('error', () => {
    // Streams end, and the browser asks again in a moment; an answer that is no stream ends it for good.
    lost ||= setTimeout(() => connected(false, '✕ Not connected: what is shown may have changed'), 4000);
    if (updates.readyState === EventSource.CLOSED) setTimeout(follow, 5000);
  });
};

/* What somebody does. */

search.addEventListener('input', arrange);
order.addEventListener('change', arrange);
filter.addEventListener('change', arrange);
byId('more').addEventListener('click', () => {
  portion += PORTION;
  build(++building, 0, null);
});

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const {target, key} = event;
  if (key === '/' && !target.matches('input[type=search], select')) {
    event.preventDefault();
    search.focus();
  } else if (key === 'Escape' && target === search && search.value) {
    search.value = '';
    arrange();
  } else if ((key === 'ArrowDown' || key === 'ArrowUp') && target.matches('summary')) {
    const item = target.closest('li');
    const next = key === 'ArrowDown' ? item.nextElementSibling : item.previousElementSibling;
    if (!next) return;
    event.preventDefault();
    next.querySelector('summary').focus();
  }
});

setInterval(() => {
  for (const entry of kept.values()) {
    entry.state = stateOf(entry.row);
    refresh(entry);
  }
  if (complete) {
    countStates();
    arrange();
  }
  if (Date.now() - heard > SILENCE) connected(false, '✕ Nothing was heard for a while: what is shown may have changed');
}, 15_000);

makeScale(document.querySelector('.scale'));
follow();
