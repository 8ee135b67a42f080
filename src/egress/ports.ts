// The WHATWG Fetch standard, "bad port": what browsers never send a request to, because other protocols can be made to take
// a part of it for theirs. Then the ports that IANA's service registry, or custom, gives to databases, queues and the like.
const SERVICES: readonly (readonly [service: string, ports: readonly number[]])[] = [
  ['mail', [25, 109, 110, 143, 465, 587, 993, 995, 4190]],
  ['SSH, Telnet or remote shells', [22, 23, 107, 512, 513, 514, 3389, 5900]],
  ['file transfer', [20, 21, 69, 115, 445, 548, 873, 989, 990, 2049, 4045]],
  ['DNS', [53]],
  ['directories', [88, 389, 427, 636, 3268, 3269]],
  ['news and chat', [119, 194, 531, 563, 5222, 6665, 6666, 6667, 6668, 6669, 6679, 6697]],
  ['telephony and streaming', [554, 1719, 1720, 1723, 5060, 5061]],
  ['printing and scanning', [515, 6566]],
  ['X11', [6000]],
  ['Windows networking', [135, 137, 139]],
  ['proxies', [1080]],
  ['databases', [1433, 1521, 3306, 5432, 6379, 7687, 9042, 11211, 26257, 27017, 27018, 27019, 33060]],
  ['message queues', [1883, 2181, 4222, 5671, 5672, 8883, 9092]],
  [
    'another protocol than HTTP',
    [
      1, 7, 9, 11, 13, 15, 17, 19, 37, 42, 43, 77, 79, 87, 95, 101, 102, 103, 104, 111, 113, 117, 123, 161, 179, 526,
      530, 532, 540, 556, 601, 3659, 10080,
    ],
  ],
]

const SERVICE_OF = new Map(SERVICES.flatMap(([service, ports]) => ports.map((port) => [port, service] as const)))

/** What a port is well known for, when that is not HTTP; else null. */
export function otherService(port: number): string | null {
  return SERVICE_OF.get(port) ?? null
}
