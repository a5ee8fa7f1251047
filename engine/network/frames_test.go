package network

import (
	"net"
	"time"
)

// exchange sends a packet until an answer comes.
func exchange(c *net.UDPConn, text string) (string, error) {
	b := make([]byte, 1000)
	for try := 0; ; try++ {
		if _, err := c.Write([]byte(text)); err != nil {
			return "", err
		}
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		n, err := c.Read(b)
		if err == nil || try >= 15 {
			return string(b[:n]), err
		}
	}
}
