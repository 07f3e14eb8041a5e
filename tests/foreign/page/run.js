// The page of a daemon, as a browser shows it. Arguments: the scenario, the daemon, Chromium, a directory for screenshots.
'use strict';

const {spawn} = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');

const puppeteer = require('puppeteer-core');

const [scenario, daemon, chromium, artifacts] = process.argv.slice(2);
const LIMIT = 30_000;
/* What is shown before somebody asks for more. */
const IDENTITIES = 1000;

let passed = 0;
let failed = 0;
const check = (sentence, good, seen) => {
  if (good) passed++;
  else failed++;
  console.log(good ? `ok: ${sentence}${seen === undefined ? '' : ` (${JSON.stringify(seen)})`}` : `FAILED: ${sentence}: ${JSON.stringify(seen)}`);
};

const shot = (page, name) => page.screenshot({path: path.join(artifacts, `${name}.png`)});
const scheme = (page, value) => page.emulateMediaFeatures([{name: 'prefers-color-scheme', value}]);
/* Puppeteer's own way to wait makes a function of a text, which the page's policy refuses. */
const until = async (page, said, ...values) => {
  for (const end = Date.now() + LIMIT; ;) {
    if (await page.evaluate(said, ...values)) return;
    if (Date.now() > end) throw new Error(`it did not come to that: ${said}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
};
const live = page => until(page, () => document.getElementById('connection').textContent === 'Live' && document.querySelectorAll('#list > li').length > 0);
const search = async (page, text) => {
  await page.evaluate(text => {
    const input = document.getElementById('search');
    input.value = text;
    input.dispatchEvent(new Event('input'));
  }, text);
};
const show = (page, value) => page.click(`#filter input[value=${value}]`);
const rows = page => page.evaluate(() => document.querySelectorAll('#list > li').length);
const focused = page => page.evaluate(() => {
  const {activeElement: element} = document;
  return {name: element.localName, id: element.id, text: element.textContent.slice(0, 60), outline: getComputedStyle(element).outlineStyle};
});

/** The rules that the page breaks as it is now. */
const broken = async page => {
  // The page's policy allows no script but its own: this one is the debugger's.
  await page.evaluate(fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8'));
  const found = await page.evaluate(async () => {
    const {violations} = await globalThis.axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']});
    return violations.map(({id, nodes}) => [id, nodes.length, nodes[0].html.slice(0, 200), nodes[0].failureSummary]);
  });
  return found;
};

const main = async () => {
  const child = spawn(scenario, [daemon], {stdio: ['pipe', 'pipe', 'inherit']});
  const lines = readline.createInterface({input: child.stdout})[Symbol.asyncIterator]();
  const line = async () => (await lines.next()).value;
  const order = async what => {
    child.stdin.write(`${what}\n`);
    const answer = await line();
    if (answer !== what) throw new Error(`${what} was answered by ${answer}`);
  };
  const address = await line();
  const browser = await puppeteer.launch({executablePath: chromium, args: ['--no-sandbox', '--disable-gpu'], protocolTimeout: 120_000});
  try {
    const page = await browser.newPage();
    const complaints = [], asked = new Set();
    page.on('console', message => { if (['error', 'warn'].includes(message.type())) complaints.push(message.text()); });
    page.on('pageerror', error => complaints.push(String(error)));
    page.on('request', request => asked.add(new URL(request.url()).pathname));
    await page.evaluateOnNewDocument(() => {
      globalThis.longest = 0;
      new PerformanceObserver(list => {
        for (const {duration} of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, Math.round(duration));
      }).observe({type: 'longtask', buffered: true});
    });
    const longest = () => page.evaluate(() => { const {longest} = globalThis; globalThis.longest = 0; return longest; });
    await page.setViewport({width: 1280, height: 900});
    await scheme(page, 'light');

    const opened = Date.now();
    const answer = await page.goto(address);
    const headers = answer.headers();
    check('the page has a policy that lets it run nothing but itself', /default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'/.test(headers['content-security-policy']) && !headers['content-security-policy'].includes('unsafe'));
    await live(page);
    await until(page, count => document.querySelectorAll('#list > li').length >= count, IDENTITIES);
    const took = Date.now() - opened;
    check('a thousand identities are shown', await rows(page) === IDENTITIES, {rows: await rows(page), milliseconds: took, longest_task: await longest()});

    await shot(page, 'light');
    await scheme(page, 'dark');
    await shot(page, 'dark');
    await scheme(page, 'light');

    const searched = Date.now();
    await search(page, 'service-0500');
    await until(page, () => document.querySelectorAll('#list > li').length === 1);
    check('a search finds one among them', true, {milliseconds: Date.now() - searched, longest_task: await longest()});
    await search(page, '');
    await until(page, count => document.querySelectorAll('#list > li').length >= count, IDENTITIES);
    const longestAgain = await longest();
    check('nobody waits for it', longestAgain < 500, {longest_task: longestAgain});

    await show(page, 'problems');
    await until(page, () => document.querySelectorAll('#list > li').length < 20);
    const states = await page.$$eval('#list .state', states => states.map(state => state.textContent));
    check('problems alone are shown where they are asked for', states.length > 0 && states.every(state => state.startsWith('✕')), states);
    check('each state is said in words', states.includes('✕ not published'), states);
    await until(page, () => [...document.querySelectorAll('#list .state')].some(state => state.textContent.includes('expired')));
    check('a certificate that ends while somebody looks is told to have expired', true);

    // Hostile names.
    await show(page, 'all');
    await search(page, 'hostile');
    await until(page, () => document.querySelectorAll('#list > li').length === 1);
    await page.evaluate(() => { document.querySelector('#list details').open = true; });
    await until(page, () => document.querySelector('#list .detail'));
    const hostile = await page.evaluate(() => ({
      markup: document.querySelectorAll('main img, main script, main a').length,
      title: document.title,
      text: document.querySelector('#list .detail').textContent,
      width: document.documentElement.scrollWidth - innerWidth,
      longest: Math.max(...[...document.querySelectorAll('#list dd bdi')].map(element => element.textContent.length)),
    }));
    check('names that would be markup are text', hostile.markup === 0 && !hostile.title.includes('hacked') && hostile.text.includes('<script>document.title'), {...hostile, text: hostile.text.slice(0, 300)});
    check('what turns a line around is written out', !/[\u202a-\u202e\u2066-\u2069]/.test(hostile.text));
    check('a name of ten thousand characters is cut and stays in the page', hostile.longest <= 4100 && hostile.width <= 0, {longest: hostile.longest, width: hostile.width});
    await shot(page, 'hostile');

    await search(page, 'many-names');
    await until(page, () => document.querySelector('#list .name').textContent === 'many-names');
    await page.click('#list summary');
    await until(page, () => document.querySelector('#list .detail'));
    check('of many names some are told and the others counted', (await page.$eval('#list .detail', detail => detail.textContent)).includes('and 150 more'));

    // A rotation, while its row is open and has the focus.
    await search(page, 'rotating');
    await until(page, () => document.querySelector('#list .name').textContent === 'rotating');
    await page.click('#list summary');
    await until(page, () => document.querySelector('#list .detail'));
    const rotated = Date.now();
    await order('rotate');
    await until(page, () => document.getElementById('news').textContent.includes('rotating rotated'));
    check('a rotation appears by itself', true, {milliseconds: Date.now() - rotated});
    const after = await page.evaluate(() => ({open: document.querySelector('#list details').open, text: document.querySelector('#list .detail').textContent, focused: document.activeElement.localName}));
    check('its row stays open, keeps the focus and tells the new generation', after.open && after.focused === 'summary' && after.text.includes('Generation2'), after);

    await search(page, 'breaking');
    await until(page, () => document.querySelector('#list .name').textContent === 'breaking');
    await order('break');
    await until(page, () => document.querySelector('#list .state').textContent.includes('rejected'));
    check('a set that is rejected is told by itself', true);

    // By the keyboard alone.
    await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
    await search(page, '');
    await show(page, 'problems');
    await until(page, () => document.querySelectorAll('#list > li').length < 20);
    await page.reload();
    await live(page);
    await until(page, count => document.querySelectorAll('#list > li').length >= count, IDENTITIES);
    const walked = [];
    for (let step = 0; step < 8; step++) {
      await page.keyboard.press('Tab');
      walked.push(await focused(page));
    }
    check('tab goes to the links, the search, the order, the filter and the first identity', ['a', 'a', 'a', 'a', 'input', 'select', 'input', 'summary'].every((name, index) => walked[index].name === name), walked);
    check('what has the focus is seen to have it', walked.every(({outline}) => outline !== 'none'), walked.map(({outline}) => outline));
    await page.keyboard.press('ArrowDown');
    const second = await focused(page);
    check('the arrows go from one identity to the next', second.name === 'summary' && second.text !== walked[7].text, second);
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Enter');
    await until(page, () => document.querySelector('#list details[open] .findings button'));
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await until(page, () => document.querySelector('#list .advice')?.textContent.length > 100);
    check('what to do about a finding is told where it is asked for', true, await page.$eval('#list .advice', advice => advice.textContent.slice(0, 80)));
    await shot(page, 'finding-light');
    await scheme(page, 'dark');
    await shot(page, 'finding-dark');
    await scheme(page, 'light');
    await page.keyboard.press('/');
    check('a slash goes to the search', (await focused(page)).id === 'search', await focused(page));
    await page.keyboard.type('overdue');
    await until(page, () => document.querySelectorAll('#list > li').length === 1);
    await page.keyboard.press('Escape');
    await until(page, count => document.querySelectorAll('#list > li').length >= count, IDENTITIES);
    check('escape ends it', true);

    // What a screen reader has of it, and the rules of axe-core.
    await show(page, 'problems');
    await until(page, () => document.querySelectorAll('#list > li').length < 20);
    const tree = JSON.stringify(await page.accessibility.snapshot({interestingOnly: false}));
    const roles = ['banner', 'main', 'search', 'contentinfo', 'region', 'navigation', 'list', 'table', 'log', 'status'];
    check('there are landmarks, lists, a table and places that tell what changes', roles.every(role => tree.includes(`"role":"${role}"`)), roles.filter(role => !tree.includes(`"role":"${role}"`)));
    for (const value of ['light', 'dark']) {
      await scheme(page, value);
      const rules = await broken(page);
      check(`axe-core finds nothing in ${value}`, rules.length === 0, rules);
    }
    await scheme(page, 'light');
    // It is behind, and still within the time that is allowed for that.
    await show(page, 'all');
    await search(page, 'followed');
    await until(page, () => document.querySelectorAll('#list > li').length === 1);
    await page.click('#list summary');
    await until(page, () => document.querySelector('#list .subscribers'));
    const who = await page.$eval('#list .subscribers', list => list.textContent);
    check('who is behind is told, and no process by number or command', who.includes('behind') && !/pid|evercert-page/.test(who), who);
    await shot(page, 'behind');
    await page.setViewport({width: 390, height: 844});
    await search(page, '');
    await shot(page, 'narrow-light');
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    check('it fits a narrow window', wide <= 0, wide);
    await scheme(page, 'dark');
    await shot(page, 'narrow-dark');
    await page.setViewport({width: 1280, height: 900});
    await show(page, 'problems');
    await until(page, () => document.querySelectorAll('#list > li').length < 20);
    await page.screenshot({path: path.join(artifacts, 'whole-dark.png'), fullPage: true});
    await scheme(page, 'light');
    await page.screenshot({path: path.join(artifacts, 'whole-light.png'), fullPage: true});

    // What goes, and what comes back.
    await show(page, 'all');
    await order('remove');
    await until(page, () => document.getElementById('news').textContent.includes('removed is no longer kept'));
    check('an identity that is gone is told to be', true);
    check('nothing was asked for but the page, its updates and what to do', [...asked].every(path => ['/', '/updates'].includes(path) || path.startsWith('/checks/')), [...asked]);
    check('the browser complains of nothing', complaints.length === 0, complaints);
    await order('stop');
    await until(page, () => document.getElementById('connection').textContent.includes('Not connected'));
    check('a daemon that is gone is told to be', true);
    await order('start');
    await live(page);
    await until(page, count => document.querySelectorAll('#list > li').length >= count, IDENTITIES);
    check('the page goes on when the daemon is back', true);
  } finally {
    await browser.close();
    // It ends its daemon when nobody orders anything any more.
    const ended = new Promise(resolve => child.once('exit', resolve));
    child.stdin.end();
    await ended;
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed ? 1 : 0;
};

main().catch(error => {
  console.error(error);
  process.exit(1);
});
