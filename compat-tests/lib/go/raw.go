package steps

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// What no client sends

func dial() (net.Conn, error) { return net.Dial("tcp", strings.Split(Bootstrap(), ",")[0]) }

func exchange(conn net.Conn, request []byte) ([]byte, error) {
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...)); err != nil {
		return nil, err
	}
	prefix := make([]byte, 4)
	if _, err := io.ReadFull(conn, prefix); err != nil {
		return nil, err
	}
	response := make([]byte, binary.BigEndian.Uint32(prefix))
	_, err := io.ReadFull(conn, response)
	return response, err
}

// unsupportedVersion sends ApiVersions v99: error 35 in the body of v0, and the connection stays usable.
func unsupportedVersion() error {
	conn, err := dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := exchange(conn, []byte{0, 18, 0, 99, 0, 0, 0, 7, 0, 1, 'x', 0, 2, 'x', 2, '1', 0})
	if err != nil {
		return fmt.Errorf("ApiVersions v99: %w", err)
	}
	if len(answer) < 10 || !bytes.Equal(answer[:6], []byte{0, 0, 0, 7, 0, 35}) {
		return fmt.Errorf("ApiVersions v99: expected error 35, got % x", answer[:min(len(answer), 10)])
	}
	keys := int(binary.BigEndian.Uint32(answer[6:]))
	if keys == 0 || len(answer) != 10+6*keys {
		return fmt.Errorf("ApiVersions v99: %d API keys in a v0 body of %d bytes", keys, len(answer))
	}
	answer, err = exchange(conn, []byte{0, 18, 0, 0, 0, 0, 0, 8, 0, 1, 'x'})
	if err == nil && !bytes.HasPrefix(answer, []byte{0, 0, 0, 8, 0, 0}) {
		err = fmt.Errorf("ApiVersions v0 after v99: got % x", answer[:min(len(answer), 10)])
	}
	return err
}

func unknownAPI() error {
	conn, err := dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := exchange(conn, []byte{0x27, 0x0f, 0, 0, 0, 0, 0, 7, 0, 1, 'x'})
	if err == nil {
		return fmt.Errorf("API key 9999: expected a closed connection, got % x", answer)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errors.New("API key 9999: the connection stays open without an answer")
	}
	return nil
}
