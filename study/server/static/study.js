// The course of a session: arrive, consent, screen, instructions, trials, end. The server knows where a session stands;
// the page asks it on every load, so a reload or a crash goes on at the trial where the rater stood.
'use strict';

(function () {
  const find = (id) => document.getElementById(id);
  const { told } = Study;
  const storage = Study.makeStorage(`mesoface ${told.study}`);
  const address = new URLSearchParams(window.location.search);
  const parameters = Object.fromEntries(
    told.parameters.filter((name) => address.has(name)).map((name) => [name, address.get(name)]),
  );

  let visitor = findVisitor();
  let session = null; // what the server said last
  let trials = [];
  let pictures = null;
  let outbox = null;
  let keys = null; // what the keyboard means now

  // ---- who is here

  // A rater without a name is recognised after a reload by a number in the address, behind the #, which is sent to
  // nobody; after a crash by the device's storage, unless the next person may sit at this screen.
  function findVisitor() {
    const given = /^#visitor=([0-9a-f-]{36})$/.exec(window.location.hash);
    const known = (given && given[1]) || (told.kiosk ? null : storage.get('visitor'));
    return keepVisitor(known || Study.makeUuid());
  }

  function keepVisitor(number) {
    try {
      window.history.replaceState(null, '', `#visitor=${number}`);
    } catch (error) {
      window.location.hash = `visitor=${number}`; // some frames forbid the history
    }
    if (!told.kiosk) storage.set('visitor', number);
    return number;
  }

  // ---- what is shown

  function stage(name) {
    for (const part of document.querySelectorAll('[data-stage]')) part.hidden = part.id !== name;
    document.body.dataset.shows = name;
    find('progress').hidden = name !== 'trial';
    window.scrollTo(0, 0);
    const heading = find(name).querySelector('h1');
    if (heading) heading.focus({ preventScroll: true });
  }

  function status(text, notice) {
    find('status').textContent = text;
    find('status').parentElement.classList.toggle('notice', Boolean(notice));
  }

  function trouble(text, again) {
    find('trouble-text').textContent = text;
    find('trouble-again').onclick = again || (() => window.location.reload());
    stage('trouble');
  }

  // Failures while nothing of the rater's is at stake.
  function toldOf(error) {
    status(error ? Study.say('trying', { error: error.message }) : '', error);
  }

  // What waits in the outbox, in words.
  function toldOfOutbox(waiting, error, kept) {
    if (!waiting) return status('');
    if (!error) return waiting > 1 ? status(Study.say('sending-some', { count: waiting })) : undefined;
    return status(Study.say(kept ? 'waiting-here' : 'waiting-page', { count: waiting }), true);
  }

  // ---- arriving, agreeing, screen

  async function arrive() {
    const arrival = await Study.persist(() => Study.post('api/arrive', { parameters, visitor }), toldOf);
    if (arrival.preview) return stage('preview');
    if (arrival.session === null) return stage('consent');
    return enter(arrival.session);
  }

  function enter(view) {
    if (outbox) outbox.close();
    session = view;
    outbox = new Study.Outbox(storage, view.session, sendAnswer, toldOfOutbox, lost);
    if (view.state === 'consented') return stage('screen');
    if (view.state === 'submitted' || view.state === 'screened-out') return finish(view);
    trials = view.trials;
    pictures = new Study.Pictures(trials);
    if (view.next !== null) outbox.drop(view.next);
    outbox.run();
    const place = trials.findIndex((trial) => trial.index > outbox.last);
    if (place < 0) return sending();
    if (trials[place].index > 0) return show(place);
    find('practice-note').hidden = !trials[place].training;
    pictures.ahead(place);
    find('begin').onclick = () => show(place);
    return stage('instructions');
  }

  find('consent-form').onsubmit = async (event) => {
    event.preventDefault();
    find('agree-button').disabled = true;
    const consent = { parameters, visitor, consent_version: told.consentVersion };
    try {
      enter(await Study.persist(() => Study.post('api/consent', consent), toldOf));
    } catch (error) {
      refused(error);
    } finally {
      find('agree-button').disabled = false;
    }
  };

  const screen = new Study.Screen(find);

  async function checkScreen(unsuitable) {
    find('screen-go').disabled = true;
    try {
      const post = () => Study.post('api/screen', screen.measure(unsuitable), session.token);
      const { problems } = await Study.persist(post, toldOf);
      const list = find('screen-problems');
      list.replaceChildren(...problems.map((text) => Study.make('p', { textContent: text })));
      list.hidden = problems.length === 0;
      find('screen-stop').hidden = problems.length === 0;
      if (!problems.length || unsuitable) await arrive();
    } catch (error) {
      refused(error);
    } finally {
      find('screen-go').disabled = false;
    }
  }
  find('screen-go').onclick = () => checkScreen(false);
  find('screen-stop').onclick = () => checkScreen(true);

  // A refusal that trying again does not mend.
  function refused(error) {
    if (!(error instanceof Study.Refusal)) throw error;
    status('');
    trouble(error.message);
  }

  // ---- trials

  async function show(place) {
    const trial = trials[place];
    const overtaken = () => trials[place] !== trial; // the page learnt meanwhile that the session stands elsewhere
    keys = null;
    for (const id of ['stimuli', 'answers']) find(id).replaceChildren();
    find('stimuli').className = '';
    find('feedback').hidden = true;
    find('answers').hidden = false;
    progress(trial);
    find('question').textContent = trial.question;
    find('trial').setAttribute('aria-busy', 'true');
    stage('trial');
    try {
      await pictures.ready(place, () => {
        if (!overtaken()) find('waiting').hidden = false;
      });
    } catch (error) {
      return overtaken() ? undefined : trouble(Study.say('picture-failed'), () => arrive().catch(refused));
    } finally {
      if (!overtaken()) find('waiting').hidden = true;
    }
    if (overtaken()) return undefined;
    find('trial').setAttribute('aria-busy', 'false');
    return ask(place);
  }

  function progress(trial) {
    const practice = trials.filter((other) => other.training).length;
    const first = session.total - trials.length;
    const [text, count] = trial.training ? ['practice-number', first + practice] : ['question-number', session.total];
    find('progress-text').textContent = Study.say(text, { number: trial.index + 1, count });
    find('progress-bar').max = session.total;
    find('progress-bar').value = trial.index;
  }

  function ask(place) {
    const trial = trials[place];
    const places = { stimuli: find('stimuli'), answers: find('answers') };
    let shownAt = null;
    let given = false;
    keys = Study.forms[told.page](trial, told, places, (answer) => {
      if (given || shownAt === null) return;
      given = true;
      keys = null;
      take(place, answer, performance.now() - shownAt);
    });
    // The second frame begins when the first, with the pictures in it, has been drawn.
    requestAnimationFrame(() => requestAnimationFrame(() => {
      shownAt = performance.now();
      find('trial').dataset.shown = String(trial.index);
    }));
  }

  function take(place, answer, reaction) {
    const trial = trials[place];
    const reply = outbox.put({
      index: trial.index,
      client_uuid: Study.makeUuid(),
      answer,
      reaction_ms: Math.round(reaction),
      viewport_width: Math.round(window.innerWidth),
      viewport_height: Math.round(window.innerHeight),
      device_pixel_ratio: window.devicePixelRatio || 1,
    });
    if (trial.training) {
      for (const control of find('trial').querySelectorAll('#stimuli button, #stimuli input, #answers button')) control.disabled = true;
      reply.then((said) => feedback(place, said.feedback));
    } else {
      goOn(place);
    }
  }

  function goOn(place) {
    if (place + 1 < trials.length) show(place + 1);
    else sending();
  }

  function feedback(place, said) {
    const parts = [];
    if (said && said.correct !== null) parts.push(said.correct ? told.right : told.wrong);
    if (said && said.expected) parts.push(...expectation(said.expected, trials[place].shown.length));
    if (!parts.length) parts.push(Study.say('practice-thanks'));
    const last = place + 1 >= trials.length || !trials[place + 1].training;
    if (last) parts.push(Study.say('practice-over'));
    find('feedback-text').textContent = parts.join(' ');
    find('feedback-next').onclick = () => goOn(place);
    find('answers').hidden = true;
    find('feedback').hidden = false;
    find('feedback').scrollIntoView({ block: 'nearest' });
    find('feedback-next').focus({ preventScroll: true });
  }

  // What was expected, in words; the forms that it may have are listed in study/designs/answers.py.
  function expectation(expected, count) {
    const face = (position) => Study.pictureLabel(position, count);
    const scores = (values, how) => Object.entries(values).map(([name, score]) => {
      const scale = told.scales.find((other) => other.name === name);
      return Study.say(how, { question: scale ? scale.question : name, score });
    });
    const words = {
      choice: (value) => [Study.say('expected-answer', { answer: typeof value === 'number' ? face(value) : told.labels[value] || value })],
      first: (value) => [Study.say('expected-first', { best: told.best, face: face(value) })],
      last: (value) => [Study.say('expected-last', { worst: told.worst, face: face(value) })],
      scores: (values) => scores(values, 'expected-score'),
      at_most: (values) => scores(values, 'expected-at-most'),
      at_least: (values) => scores(values, 'expected-at-least'),
    };
    return Object.entries(expected).flatMap(([name, value]) => (words[name] ? words[name](value) : []));
  }

  document.addEventListener('keydown', (event) => {
    if (keys && document.body.dataset.shows === 'trial' && !find('closer').open) keys(event);
  });

  Study.showCloser = (picture, label) => {
    const image = Study.Pictures.element(picture, label);
    image.className = '';
    find('closer-picture').replaceChildren(image);
    find('closer').showModal();
  };

  // ---- answers on their way, and the end

  async function sendAnswer(item) {
    try {
      return await Study.post('api/answers', item, session.token);
    } catch (error) {
      if (!(error instanceof Study.Refusal) || error.status !== 401) throw error;
      // The token is over, the session is not: the same rater gets a new one.
      const arrival = await Study.post('api/arrive', { parameters, visitor });
      if (!arrival.session) throw error;
      session.token = arrival.session.token;
      return Study.post('api/answers', item, session.token);
    }
  }

  // Page and server disagree, for example because the session went on in another window: the server is right. What it
  // has is dropped here, and so is what it will never take; then the page looks where the session stands.
  async function lost(error) {
    if (error.status === 401) return refused(error);
    const next = typeof error.next === 'number' ? error.next : Infinity;
    outbox.drop(next);
    if (outbox.items.length && outbox.items[0].index > next) outbox.drop(Infinity);
    await arrive().catch(refused);
    if (error.status !== 409) status(error.message, true);
    return undefined;
  }

  async function sending() {
    keys = null;
    if (outbox.items.length) {
      stage('sending');
      await new Promise((resolve) => {
        const timer = setInterval(() => {
          if (outbox.items.length) return;
          clearInterval(timer);
          resolve();
        }, 100);
      });
    }
    await arrive().catch(refused);
  }

  function finish(view) {
    const name = view.state === 'submitted' ? 'done' : 'screened-out';
    const box = find(name).querySelector('.completion');
    const completion = view.completion;
    box.hidden = !completion;
    if (completion) {
      box.querySelector('.code').textContent = completion.code;
      box.querySelector('.copy').onclick = () => copy(box.querySelector('.code'), completion.code);
      box.querySelector('.hand-in').replaceChildren(...handIn(completion));
    }
    const next = find('next-rater');
    if (next) {
      next.onclick = () => {
        visitor = keepVisitor(Study.makeUuid());
        find('agree').checked = false;
        stage('consent');
      };
    }
    stage(name);
  }

  function handIn(completion) {
    if (!completion.url) return [];
    const fields = Object.entries(completion.fields);
    if (!fields.length) return [Study.make('a', { href: completion.url, className: 'button', target: '_top', textContent: Study.say('hand-in-return') })];
    const form = Study.make('form', { method: 'post', action: completion.url });
    form.append(
      ...fields.map(([name, value]) => Study.make('input', { type: 'hidden', name, value })),
      Study.make('button', { type: 'submit', textContent: Study.say('hand-in') }),
    );
    return [form];
  }

  async function copy(place, code) {
    try {
      await navigator.clipboard.writeText(code);
      status(Study.say('copied'));
    } catch (error) {
      window.getSelection().selectAllChildren(place); // not allowed here: the code is marked, to be copied by hand
      status(Study.say('marked'));
    }
  }

  window.addEventListener('beforeunload', (event) => {
    if (outbox && outbox.items.length) event.preventDefault();
  });

  arrive().catch(refused);
})();
