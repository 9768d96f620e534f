// Every text of the page. Another language is another file with the same keys; see `choose` below.
const en = {
  title: "Familiar",
  skip: "To the content",
  now: "Now", visits: "Visits", people: "People", strangers: "Strangers", strictness: "Strictness", device: "Device",
  state: { ok: "all well", degraded: "something needs a look", failing: "does nothing useful", away: "the device does not answer; trying again" },
  back: "the device answers again",
  loading: "Loading…",
  nothing: "Nothing yet.",
  failed: (what) => `Did not work: ${what}`,
  unknown: "unknown",
  cameraStates: { running: "watching", opening: "opening", lost: "lost", ended: "ended", off: "off" },
  inView: (names) => (names.length ? `In view: ${names.join(", ")}` : "Nobody in view"),
  perSecond: (n) => `${n.toFixed(1)} pictures a second`,
  whatToDo: "What to do",
  viewOf: (camera) => `What camera ${camera} sees`,
  noView: "no picture at the moment",
  firstHead: "Nobody is enrolled yet",
  firstText: "Everybody is a stranger until you enrol somebody. Three to five photos with one face, from the front and in different light, serve best.",
  enrolSomebody: "Enrol somebody",
  newest: "The newest first. New ones appear by themselves.",
  allCameras: "all cameras", camera: "Camera", whom: "Who", everybody: "everybody", onlyKnown: "only names", onlyUnknown: "only unknowns",
  why: "Why",
  score: "score", threshold: "needed for the name", confidence: "how sure", candidate: "nearest person", runnerUp: "second nearest",
  margin: "ahead of the second by", quality: "picture", reason: "reason", event: "event", seen: "seen", stranger: "stranger",
  visitNumber: (n) => `visit ${n}`,
  faceAlt: (name) => `Face of ${name}`,
  name: "Name", photos: "Photos", added: "Added", until: "Until", consent: "Agreed to", forever: "no end",
  photoCount: (n) => (n === 1 ? "1 photo" : `${n} photos`),
  enrolHead: "Enrol by photos",
  dropHere: "Put photos here, or choose them", choose: "Choose photos",
  enrolled: "enrolled", known: "enrolled before", refused: "not taken", anyway: "Take it anyway",
  sending: (n, all) => `Sending ${n} of ${all}…`,
  rename: "Rename", newName: "New name", forget: "Forget", deletePhoto: "Delete photo", open: "Show", close: "Close",
  forgetSure: (name) => `Forget ${name}? Photos, embeddings and events of this person are deleted from this device. This cannot be undone.`,
  forgotten: (name) => `${name} is forgotten.`,
  remains: "Another program still reads the file; what it holds goes later.",
  renamed: (name) => `Is called ${name} now.`,
  whoHead: "Who is on a picture?", whoText: "The picture is looked at and not kept.",
  noFace: "No face was found.", face: (n) => `Face ${n}`, tooPoor: (why) => `too poor to judge: ${why}`,
  strangersText: "Visitors who were seen and never named. Give a name to enrol somebody from what the camera saw.",
  strangersOff: "Nobody is remembered. Set [strangers] remember = true in the configuration and restart to remember visitors.",
  visitCount: (n) => (n === 1 ? "1 visit" : `${n} visits`),
  lastSeen: (when) => `last seen ${when}`,
  ignore: "Ignore", unignore: "Notice again", ignored: "ignored",
  giveName: "Give a name", save: "Save", cancel: "Cancel", yes: "Yes",
  strangerForgetSure: "Forget this stranger?",
  named: (name, n) => `${name}: ${n} views enrolled.`,
  strictText: "How many of 1,000 strangers may be called by somebody's name (target FPIR, the false positive identification rate). Fewer false names mean that known people are missed more often.",
  wish: "Of 1,000 strangers, so many may get a name",
  apply: "Use this until the next restart",
  applied: (n) => `Now at ${n} of 1,000.`,
  generally: "Strangers in general who would get a name, of 1,000", alike: "Strangers who look like the household, of 1,000",
  needed: "Score a name needs", enrolledNow: "Enrolled", notKnown: "not known",
  nobodyNamed: "Nobody is named at the moment:",
  keep: (n) => `To keep it, write [decide] false_accepts_per_1000_strangers = ${n} in the configuration.`,
  personHead: "By person", missed: "visits missed", hardToTell: "Hard to tell apart",
  curveHead: "What each choice costs", curveText: "Both error rates over the target", curveStrangers: "strangers named", curveMissed: "enrolled photos missed",
  deviceHead: "This device", bundle: "Model", running: "Running for", accelerators: "Computes on", log: "Events kept", troubles: "Troubles", none: "none",
  api: "For programs: the API's description", endSession: "End this session",
  switchOff: "Switch off", switchOn: "Switch on",
  loginHead: "This device wants a token", loginText: "Make one on the device: familiar token add NAME --scope name", token: "Token", login: "Go on",
  mayNot: "This token may look, and not change anything.",
  days: (n) => `${n} days`, hours: (n) => `${n} hours`, minutes: (n) => `${n} minutes`,
};

const languages = { en };

function choose() {
  for (const wanted of navigator.languages || ["en"]) {
    const found = languages[wanted.slice(0, 2)];
    if (found) return found;
  }
  return en;
}

export const T = choose();
