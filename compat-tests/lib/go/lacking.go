package steps

import "errors"

// Lacking is embedded by a client that cannot do everything; the steps that need the rest are named in its Cannot.
type Lacking struct{}

var errLacking = errors.New("the client does not offer this; the step belongs into Cannot")

func (Lacking) Cannot() map[string]string                                  { return nil }
func (Lacking) Alter(string, ...Op) error                                  { return errLacking }
func (Lacking) DeleteRecords(string, int32, int64) (int64, error)          { return 0, errLacking }
func (Lacking) Join(Joining, *Inbox) (Member, error)                       { return nil, errLacking }
func (Lacking) Committed(string, string) (map[int32]Committed, error)      { return nil, errLacking }
func (Lacking) ListGroups() (map[string]Listed, error)                     { return nil, errLacking }
func (Lacking) DescribeGroup(string) (Described, error)                    { return Described{}, errLacking }
func (Lacking) AlterOffsets(string, string, map[int32]int64) error         { return errLacking }
func (Lacking) DeleteOffsets(string, string, int32) error                  { return errLacking }
func (Lacking) DeleteGroup(string) error                                   { return errLacking }
func (Lacking) LogDirs(string) (map[int32]int64, error)                    { return nil, errLacking }
func (Lacking) SetQuota(string, string, *float64) error                    { return errLacking }
func (Lacking) Quotas(string) (map[string]float64, error)                  { return nil, errLacking }
func (Lacking) ListOffsets(string, int64) (map[int32]int64, error)         { return nil, errLacking }
func (Lacking) BrokerConfig(string) (Config, error)                        { return Config{}, errLacking }
func (Lacking) AlterBroker(string, *string) error                          { return errLacking }
func (Lacking) Transactional(string) (Transactional, error)                { return nil, errLacking }
func (Lacking) CommitAs(string, string, int32, string, int32, int64) error { return errLacking }
