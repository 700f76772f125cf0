package redisstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// unlocked is the message that a lock has been released. Any other message says that the saved data
// has changed.
const unlocked = "unlocked"

// hubs are the subscriptions of the clients that have listeners.
var hubs = struct {
	sync.Mutex
	of map[redis.UniversalClient]*hub
}{of: map[redis.UniversalClient]*hub{}}

// hub is the one connection that all listeners of a client share. A program may have a million
// sessions.
type hub struct {
	client redis.UniversalClient
	pubsub *redis.PubSub
	closed chan struct{}

	mu        sync.Mutex
	listeners map[string][]*listener // by channel

	unsettled []string // channels to subscribe to or to leave
	settling  bool     // a goroutine does that

	behind  []string // channels whose messages may have been missed
	pacing  bool     // a goroutine tells their listeners
	isEmpty bool     // the hub is closed, or about to be
}

// listener is told the messages of one channel.
type listener struct {
	mu      sync.Mutex
	stopped bool
	told    func(message string)
}

// listen tells a function each message of a channel, and an empty message whenever messages may have
// been missed: when the subscription begins, and after the connection was lost. Nothing is told
// after stop has returned.
func listen(client redis.UniversalClient, channel string, told func(message string)) (stop func()) {
	hubs.Lock()
	defer hubs.Unlock()
	h := hubs.of[client]
	if h == nil {
		h = newHub(client)
		hubs.of[client] = h
	}

	l := &listener{told: told}
	h.add(channel, l)
	return func() {
		l.mu.Lock()
		stopped := l.stopped
		l.stopped = true
		l.mu.Unlock()
		if !stopped {
			h.remove(channel, l)
		}
	}
}

func newHub(client redis.UniversalClient) *hub {
	h := &hub{
		client:    client,
		pubsub:    client.Subscribe(context.Background()),
		closed:    make(chan struct{}),
		listeners: map[string][]*listener{},
	}
	go h.read()
	return h
}

// add adds a listener, and subscribes if it is the first one of its channel.
func (h *hub) add(channel string, l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners[channel] = append(h.listeners[channel], l)
	if len(h.listeners[channel]) == 1 {
		h.settle(channel)
	}
}

// remove removes a listener. The last one closes the connection.
func (h *hub) remove(channel string, l *listener) {
	hubs.Lock()
	defer hubs.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()

	// The list may be in use by tell, so it is not changed in place.
	list := h.listeners[channel]
	i := slices.Index(list, l)
	if len(list) > 1 {
		h.listeners[channel] = slices.Concat(list[:i], list[i+1:])
		return
	}
	delete(h.listeners, channel)
	if len(h.listeners) > 0 {
		h.settle(channel)
		return
	}

	h.isEmpty = true
	delete(hubs.of, h.client)
	close(h.closed)

	// Close waits for a connection that is being made.
	go func() { _ = h.pubsub.Close() }()
}

// settle makes the subscription of a channel fit its listeners, on a goroutine, since Redis may be
// away. The lock is held.
func (h *hub) settle(channel string) {
	h.unsettled = append(h.unsettled, channel)
	if h.settling {
		return
	}

	h.settling = true
	go func() {
		for {
			h.mu.Lock()
			h.settling = len(h.unsettled) > 0 && !h.isEmpty
			if !h.settling {
				h.mu.Unlock()
				return
			}
			wanted, unwanted := []string(nil), []string(nil)
			for _, channel := range h.unsettled {
				if len(h.listeners[channel]) > 0 {
					wanted = append(wanted, channel)
				} else {
					unwanted = append(unwanted, channel)
				}
			}
			h.unsettled = nil
			h.mu.Unlock()

			// After a failure, the next connection subscribes to all that is wanted.
			if len(wanted) > 0 {
				_ = h.pubsub.Subscribe(context.Background(), wanted...)
			}
			if len(unwanted) > 0 {
				_ = h.pubsub.Unsubscribe(context.Background(), unwanted...)
			}
		}
	}()
}

// read passes on the messages until the hub or the client is closed. A connection that was lost is
// made again, and Redis confirms each subscription again.
func (h *hub) read() {
	for message := range h.pubsub.ChannelWithSubscriptions() {
		switch m := message.(type) {
		case *redis.Message:
			h.tell(m.Channel, m.Payload)
		case *redis.Subscription:
			if m.Kind == "subscribe" {
				h.catchUp(m.Channel)
			}
		}
	}
}

func (h *hub) tell(channel, message string) {
	h.mu.Lock()
	list := h.listeners[channel]
	h.mu.Unlock()

	for _, l := range list {
		l.mu.Lock()
		if !l.stopped {
			l.told(message)
		}
		l.mu.Unlock()
	}
}

// When messages may have been missed, each listener reads its session. So many are told at once, and
// then there is a pause: 5,000 in a second.
const (
	paceCount = 50
	pacePause = 10 * time.Millisecond
)

// catchUp tells the listeners of a channel that messages may have been missed.
func (h *hub) catchUp(channel string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.behind = append(h.behind, channel)
	if h.pacing {
		return
	}

	h.pacing = true
	go func() {
		for {
			h.mu.Lock()
			some := h.behind[:min(paceCount, len(h.behind))]
			h.behind = h.behind[len(some):]
			h.pacing = len(some) > 0
			h.mu.Unlock()
			if len(some) == 0 {
				return
			}

			for _, channel := range some {
				h.tell(channel, "")
			}
			select {
			case <-time.After(pacePause):
			case <-h.closed:
				return
			}
		}
	}()
}
