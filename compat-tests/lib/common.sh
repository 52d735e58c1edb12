# Sourced by every script here. What the clients need is fetched by their ordinary package clients and kept outside
# the tree, in $cache.
compat=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tidewater-compat
mkdir -p "$cache"

say() { printf '%s\n' "$*" >&2; }

die() { say "$@"; exit 1; }

# apt_install PACKAGE…: installs them where this is root, and names them for anybody else.
apt_install() {
  [ "$(id -u)" = 0 ] || die "missing: apt-get install $*"
  say "installing $* with apt-get"
  apt-get install -y -qq "$@" > /dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq "$@" > /dev/null; } >&2
}

# need COMMAND PACKAGE: the Debian package that brings a command.
need() { command -v "$1" > /dev/null || apt_install "$2"; }

# maven_libs FOLDER: prints a folder with the jars that FOLDER/pom.xml names, fetched once for each content of it.
maven_libs() {
  local libs
  libs=$cache/jars/$(basename "$1")-$(sha256sum < "$1/pom.xml" | cut -c1-12)
  if [ ! -d "$libs" ]; then
    need mvn maven
    say "fetching jars for $(basename "$1") with Maven into $libs"
    mvn -q -f "$1/pom.xml" dependency:copy-dependencies -DoutputDirectory="$libs.new.$$" >&2
    mv "$libs.new.$$" "$libs"
  fi
  printf '%s\n' "$libs"
}

# java_classes NAME LIBS SOURCE…: prints a folder with the classes, compiled once for each content of the sources.
# Parameters keep their names: Spring looks beans up by them.
java_classes() {
  local name=$1 libs=$2 classes
  shift 2
  classes=$cache/classes/$name-$( (basename "$libs"; cat "$@") | sha256sum | cut -c1-12)
  if [ ! -d "$classes" ]; then
    need javac default-jdk-headless
    javac -nowarn -parameters -XDsuppressNotes -d "$classes.new.$$" -cp "$libs/*" "$@" >&2 || die "$name does not compile"
    mv "$classes.new.$$" "$classes"
  fi
  printf '%s\n' "$classes"
}

# python_venv FOLDER: prints a Python that has what FOLDER/requirements.txt names, made once for each content of it.
python_venv() {
  local venv
  venv=$cache/venv/$(basename "$1")-$(sha256sum < "$1/requirements.txt" | cut -c1-12)
  if [ ! -f "$venv/complete" ]; then
    say "installing $(tr '\n' ' ' < "$1/requirements.txt")with pip into $venv"
    rm -rf "$venv"
    python3 -m venv "$venv" 2> /dev/null || { apt_install python3-venv && python3 -m venv "$venv"; } >&2
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$1/requirements.txt" >&2
    touch "$venv/complete"
  fi
  printf '%s\n' "$venv/bin/python"
}

# go_program FOLDER: builds the folder's Go program and prints where it is; Go keeps modules and builds in caches of its own.
go_program() {
  local program
  program=$cache/$(basename "$1")
  command -v go > /dev/null || PATH=$PATH:/usr/local/go/bin
  command -v go > /dev/null || die "Go 1.26 or later is missing"
  say "building $(basename "$1")'s program (modules through the Go module proxy)"
  (cd "$1" && go build -o "$program" .) >&2 || return 1
  printf '%s\n' "$program"
}

# node_modules FOLDER: prints a folder with the packages that FOLDER/package-lock.json names, installed once for each content of it.
# No package's own scripts are run.
node_modules() {
  local folder
  folder=$cache/npm/$(basename "$1")-$(sha256sum < "$1/package-lock.json" | cut -c1-12)
  if [ ! -f "$folder/complete" ]; then
    need npm npm
    say "installing $(basename "$1")'s packages with npm into $folder"
    mkdir -p "$folder"
    cp "$1/package.json" "$1/package-lock.json" "$folder"
    (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2 || return 1
    touch "$folder/complete"
  fi
  printf '%s\n' "$folder/node_modules"
}

# node_program: prints the Node.js that lib/js/package-lock.json pins; Debian's is older than some clients ask for.
node_program() {
  local modules
  modules=$(node_modules "$compat/lib/js") || return 1
  printf '%s\n' "$modules"/node-linux-*/bin/node
}

# free_port: a port nobody listens on now, below the range the kernel hands out to outgoing connections.
free_port() {
  local port
  while :; do
    port=$((12000 + RANDOM % 18000))
    (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null || { printf '%s\n' "$port"; return; }
  done
}

# maven_archive GROUP:ARTIFACT:VERSION:TYPE:CLASSIFIER: prints a folder with what the archive holds, fetched and unpacked once.
maven_archive() {
  local folder
  folder=$cache/archives/$(tr ':' '-' <<< "$1")
  if [ ! -d "$folder" ]; then
    need mvn maven
    say "fetching $1 with Maven into $folder"
    mvn -q dependency:unpack "-Dartifact=$1" "-DoutputDirectory=$folder.new.$$" -Dmdep.useBaseVersion=true >&2 || return 1
    mv "$folder.new.$$" "$folder"
  fi
  printf '%s\n' "$folder"
}

# java_from VERSION: prints a Java of at least this version, from $JAVA_HOME, the path or /usr/lib/jvm.
java_from() {
  local java version
  for java in "${JAVA_HOME:+$JAVA_HOME/bin/java}" java /usr/lib/jvm/*/bin/java; do
    version=$("$java" -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java.specification.version = //p')
    [[ $version =~ ^[0-9]+$ ]] && [ "$version" -ge "$1" ] && { printf '%s\n' "$java"; return; }
  done
  return 1
}
