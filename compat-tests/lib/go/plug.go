package steps

import (
	"context"
	"errors"
	"net"
	"sync"
)

// Plug dials for one client, and can be pulled: its connections are cut, and there are no new ones.
type Plug struct {
	mu     sync.Mutex
	pulled bool
	open   map[net.Conn]struct{}
}

var errPulled = errors.New("the plug is pulled")

// Dial has the shape of net.Dialer.DialContext.
func (p *Plug) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pulled {
		conn.Close()
		return nil, errPulled
	}
	if p.open == nil {
		p.open = map[net.Conn]struct{}{}
	}
	tracked := &plugged{conn, p}
	p.open[tracked] = struct{}{}
	return tracked, nil
}

// Pull cuts the client off.
func (p *Plug) Pull() {
	p.mu.Lock()
	open := p.open
	p.pulled, p.open = true, nil
	p.mu.Unlock()
	for conn := range open {
		conn.(*plugged).Conn.Close()
	}
}

type plugged struct {
	net.Conn
	plug *Plug
}

func (c *plugged) Close() error {
	c.plug.mu.Lock()
	delete(c.plug.open, c)
	c.plug.mu.Unlock()
	return c.Conn.Close()
}
