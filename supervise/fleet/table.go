package fleet

// kind numbers the events that are about one worker.
type kind uint8

const (
	evStarted kind = iota
	evSpawnFailed
	evExited
	evGone
	evReady
	evAlive
	evJudged
	evCleared
	evExtended
	evPhased
	evProgressed
	evStopping
	evDumped
	evDue
	nKinds
)

var kindNames = [nKinds]string{"Started", "SpawnFailed", "Exited", "Gone", "Ready", "Alive", "Judged", "Cleared",
	"Extended", "Phased", "Progressed", "Stopping", "Dumped", "due"}

type reaction func(*Fleet, *worker, Event)

func ignore(*Fleet, *worker, Event) {}

// table is what each state makes of each event.
var table = [nStates][nKinds]reaction{
	//	Started    SpawnFailed    Exited     Gone        Ready    Alive    Judged
	//	Cleared    Extended       Phased     Progressed  Stopping Dumped   due
	idle: {
		ignore, ignore, ignore, ignore, ignore, ignore, ignore,
		ignore, ignore, ignore, ignore, ignore, ignore, ignore},
	waiting: {
		ignore, ignore, ignore, ignore, ignore, ignore, ignore,
		ignore, ignore, ignore, ignore, ignore, ignore, onDue},
	spawning: {
		onStarted, onSpawnFailed, ignore, ignore, ignore, ignore, ignore,
		ignore, ignore, ignore, ignore, ignore, ignore, onUnanswered},
	starting: {
		ignore, ignore, onDied, ignore, onReady, ignore, onJudged,
		ignore, onLongerStart, onStartPhased, onProgressed, onStopping, ignore, onDue},
	running: {
		ignore, ignore, onDied, ignore, onReadyAgain, onAlive, onJudged,
		onCleared, onExtended, onPhased, onProgressed, onStopping, ignore, onDue},
	suspect: {
		ignore, ignore, onSuspectDied, ignore, onSign, onSign, ignore,
		onSign, onSign, onSign, onSign, onSign, onDumped, onDumped},
	stopping: {
		ignore, ignore, onStopped, ignore, ignore, ignore, ignore,
		ignore, onLongerStop, ignore, onLastStep, ignore, ignore, onDue},
	sweeping: {
		ignore, ignore, ignore, onGone, ignore, ignore, ignore,
		ignore, ignore, ignore, ignore, ignore, ignore, onDue},
	failed: {
		ignore, ignore, ignore, ignore, ignore, ignore, ignore,
		ignore, ignore, ignore, ignore, ignore, ignore, ignore},
	done: {
		ignore, ignore, ignore, ignore, ignore, ignore, ignore,
		ignore, ignore, ignore, ignore, ignore, ignore, ignore},
	excluded: {
		ignore, ignore, ignore, ignore, ignore, ignore, ignore,
		ignore, ignore, ignore, ignore, ignore, ignore, ignore},
	stuck: {
		onStuckStarted, ignore, onStuckExit, onLateGone, ignore, ignore, ignore,
		ignore, ignore, ignore, ignore, ignore, ignore, ignore},
}

// about names the worker, generation and kind of an event that is about one.
func about(e Event) (id string, gen uint64, k kind, ok bool) {
	switch e := e.(type) {
	case Started:
		return e.Worker, e.Gen, evStarted, true
	case SpawnFailed:
		return e.Worker, e.Gen, evSpawnFailed, true
	case Exited:
		return e.Worker, e.Gen, evExited, true
	case Gone:
		return e.Worker, e.Gen, evGone, true
	case Ready:
		return e.Worker, e.Gen, evReady, true
	case Alive:
		return e.Worker, e.Gen, evAlive, true
	case Judged:
		return e.Worker, e.Gen, evJudged, true
	case Cleared:
		return e.Worker, e.Gen, evCleared, true
	}
	return aboutLife(e)
}

// aboutLife is about for what a worker says of itself.
func aboutLife(e Event) (id string, gen uint64, k kind, ok bool) {
	switch e := e.(type) {
	case Extended:
		return e.Worker, e.Gen, evExtended, true
	case Phased:
		return e.Worker, e.Gen, evPhased, true
	case Progressed:
		return e.Worker, e.Gen, evProgressed, true
	case Stopping:
		return e.Worker, e.Gen, evStopping, true
	case Dumped:
		return e.Worker, e.Gen, evDumped, true
	}
	return "", 0, 0, false
}
