package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// times are durations by the name of what took them.
type times struct {
	mu sync.Mutex
	by map[string][]time.Duration
}

func (t *times) add(name string, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string][]time.Duration{}
	}
	t.by[name] = append(t.by[name], took)
}

func (t *times) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.by = nil
}

func (t *times) print() {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Printf("  %-18s %7s %8s %8s %8s %8s   seconds until all partitions are owned in one generation\n",
		"after a", "times", "p50", "p90", "p99", "max")
	for _, name := range slices.Sorted(maps.Keys(t.by)) {
		all := slices.Sorted(slices.Values(t.by[name]))
		at := func(share float64) float64 { return all[int(share*float64(len(all)-1))].Seconds() }
		fmt.Printf("  %-18s %7d %8.2f %8.2f %8.2f %8.2f\n", name, len(all), at(0.5), at(0.9), at(0.99), at(1))
	}
}

// process is what Linux says about a process: CPU seconds used so far, and its memory in MB now and at its highest.
type process struct{ cpuSeconds, rssMB, peakMB float64 }

func look(pid string) (process, bool) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return process{}, false
	}
	// The command's name is in brackets, and may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	// USER_HZ, which is 100 on every Linux there is.
	found := process{cpuSeconds: (user + system) / 100}
	status, _ := os.ReadFile("/proc/" + pid + "/status")
	for line := range strings.Lines(string(status)) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		kb, _ := strconv.ParseFloat(words[1], 64)
		switch words[0] {
		case "VmRSS:":
			found.rssMB = kb / 1024
		case "VmHWM:":
			found.peakMB = kb / 1024
		}
	}
	return found, true
}
