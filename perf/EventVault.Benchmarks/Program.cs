using EventVault.Benchmarks;

var report = new Report();
var dir = "/var/tmp/evbench"; System.IO.Directory.CreateDirectory(dir);
var s = TimeSpan.FromSeconds(2);
if (args.Contains("reads")) StorageBenchmarks.Reads(report, dir, 1_000_000, 10_000, s);
if (args.Contains("recovery")) StorageBenchmarks.Recovery(report, dir, 64 << 20, [1, 10]);
if (args.Contains("heads")) StorageBenchmarks.Heads(report, dir, [1_000_000]);
if (args.Contains("disk")) { var m = DiskLimit.BlockAndFlush(dir, s/4, s); Console.WriteLine(m.PerSecond + " p50 " + m.Percentile(.5)); }
if (args.Contains("faster")) { var m = await FasterAnchor.AppendAsync(dir, 64, 256, s/4, s); Console.WriteLine(m.PerSecond + " p50 " + m.Percentile(.5)); }
