// swift-tools-version: 6.2
import PackageDescription

// One line per module, in the order of its floor: a module imports only what its line names, and
// only from lower floors. Tests/PackageTests enforces it.

let argumentParser = Target.Dependency.product(
  name: "ArgumentParser", package: "swift-argument-parser")
let asyncHTTPClient = Target.Dependency.product(
  name: "AsyncHTTPClient", package: "async-http-client")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let lifecycle = Target.Dependency.product(
  name: "ServiceLifecycle", package: "swift-service-lifecycle")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let metrics = Target.Dependency.product(name: "CoreMetrics", package: "swift-metrics")
let metricsTestKit = Target.Dependency.product(name: "MetricsTestKit", package: "swift-metrics")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")
let toml = Target.Dependency.product(name: "TOMLKit", package: "TOMLKit")
let unixSignals = Target.Dependency.product(
  name: "UnixSignals", package: "swift-service-lifecycle")

let package = Package(
  name: "batchd",
  platforms: [.macOS(.v15)],
  products: [
    // For handlers in Swift: deploy/examples/swift.
    .library(name: "BatchdWorker", targets: ["Pipeline", "Stores", "Worker"]),
    .executable(name: "batchd", targets: ["batchd"]),
    .executable(name: "batchd-dev", targets: ["batchd-dev"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.0.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.80.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.29.0"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.0.0"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.10.0"),
    .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.25.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.6.0"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.0"),
  ],
  targets: [
    // Floor 0
    .systemLibrary(name: "CHiredis", pkgConfig: "hiredis", providers: [.apt(["libhiredis-dev"])]),
    // The headers of libpq-dev. Without pkgConfig, which would link the library.
    .systemLibrary(name: "CPostgres"),
    // Empty but in debug builds.
    .target(name: "Failpoints"),
    // Floor 1
    .target(
      name: "Redis",
      dependencies: ["CHiredis", "Failpoints", logging, nioCore, nioPosix, nioSSL]),
    .target(name: "Pipeline"),
    // Floor 2
    .target(
      name: "Queue", dependencies: ["Redis", "Pipeline", logging],
      resources: [.embedInCode("Functions")]),
    .target(name: "Coordination", dependencies: ["Redis"]),
    .target(name: "Stores", dependencies: ["CPostgres", "Failpoints", "Pipeline", grdb]),
    // Floor 3
    .target(
      name: "Worker",
      dependencies: [
        "Redis", "Queue", "Coordination", "Stores", "Pipeline", lifecycle, logging, metrics,
        unixSignals,
      ]),
    // Floor 4
    .target(
      name: "Stages",
      dependencies: [
        "Worker", "Stores", "Pipeline", asyncHTTPClient, crypto, logging, nioCore, nioHTTP1,
        nioPosix,
      ]),
    .target(name: "Simulators", dependencies: ["Pipeline", hummingbird, logging, nioCore]),
    // Floor 5
    .executableTarget(
      name: "batchd",
      dependencies: [
        "Redis", "Queue", "Coordination", "Stores", "Worker", "Stages", "Pipeline", argumentParser,
        lifecycle, logging, subprocess, toml, unixSignals,
      ]),
    .executableTarget(
      name: "batchd-dev",
      dependencies: [
        "Redis", "Queue", "Stores", "Worker", "Simulators", "Pipeline", argumentParser, histogram,
        lifecycle, logging, unixSignals,
      ]),
    // Tests
    .target(
      name: "TestSupport", dependencies: [nioCore, nioHTTP1, nioPosix], path: "Tests/TestSupport"),
    .executableTarget(
      name: "SwiftStage", dependencies: ["Pipeline", "Stores", "Worker"],
      path: "deploy/examples/swift"),
    .executableTarget(
      name: "TestWorker",
      dependencies: [
        "Redis", "Stores", "Worker", "Stages", "Pipeline", lifecycle, logging, unixSignals,
      ],
      path: "Tests/TestWorker"),
    .testTarget(
      name: "BatchdTests",
      dependencies: [
        "batchd", "Worker", "Queue", "Redis", "Stores", "Pipeline", "TestSupport", argumentParser,
        lifecycle, logging,
      ]),
    .testTarget(
      name: "FuzzTests",
      dependencies: ["batchd", "Stages", "Stores", "Worker", "Redis", "Pipeline"],
      exclude: ["Corpus", "Driver.swift"]),
    .testTarget(name: "ModelTests", dependencies: ["Redis", "Pipeline", "TestSupport", logging]),
    .testTarget(
      name: "EndToEndTests",
      dependencies: [
        "Simulators", "Redis", "Pipeline", "TestSupport", "TestWorker", "SwiftStage", grdb, logging,
      ]),
    .testTarget(name: "PackageTests"),
    .testTarget(
      name: "QueueTests", dependencies: ["Queue", "Redis", "Pipeline", "TestSupport", logging]),
    .testTarget(name: "RedisTests", dependencies: ["Redis", "TestSupport", logging, nioCore]),
    .testTarget(
      name: "SimulatorsTests",
      dependencies: ["Simulators", "Pipeline", asyncHTTPClient, nioCore, nioHTTP1]),
    .testTarget(
      name: "StagesTests",
      dependencies: [
        "Stages", "Simulators", "Stores", "Worker", "Pipeline", "TestSupport", logging, nioCore,
        nioHTTP1, nioPosix,
      ]),
    .testTarget(
      name: "StoresTests", dependencies: ["CPostgres", "Stores", "Pipeline", "TestSupport", grdb]),
    .testTarget(
      name: "WorkerTests",
      dependencies: [
        "Worker", "Stages", "Queue", "Redis", "Stores", "Pipeline", "TestSupport", lifecycle,
        logging, metrics, metricsTestKit,
      ]),
  ],
  swiftLanguageModes: [.v6]
)

// What a worker holds while it waits is mostly its program. No symbols for others to bind to, and relocations packed where
// the C library can read them (glibc 2.36), are 5 MB less of it.
var linking = ["-use-ld=lld", "-Xlinker", "--no-export-dynamic"]
#if canImport(Glibc)
  import Glibc
  var libc = [CChar](repeating: 0, count: 64)
  _ = confstr(Int32(_CS_GNU_LIBC_VERSION), &libc, libc.count)
  let text = String(decoding: libc.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  let version = text.split { " .\0".contains($0) }.compactMap { Int($0) }
  if !version.lexicographicallyPrecedes([2, 36]) {
    linking += ["-Xlinker", "-z", "-Xlinker", "pack-relative-relocs"]
  }
#endif
for target in package.targets where target.type == .executable {
  target.linkerSettings = [
    .unsafeFlags(linking, .when(platforms: [.linux], configuration: .release))
  ]
}

// deploy/fuzz: an executable that libFuzzer drives, made of the checks that FuzzTests replays. No executable can import
// another, so `batchd` is a plain module then, of the files that read the configuration.
if Context.environment["BATCHD_FUZZ"] != nil {
  package.products = []
  package.targets.removeAll { $0.type == .test || $0.type == .executable }
  package.targets += [
    .target(
      name: "batchd", dependencies: ["Stages", "Stores", "Worker", "Pipeline", toml],
      sources: [
        "Configuration.swift", "ConfigurationChecks.swift", "ConfigurationError.swift",
        "ConfigurationFile.swift", "ConfigurationKey.swift", "ConfigurationKeys.swift",
        "ConfigurationPipelines.swift", "ConfigurationReader.swift", "ConfigurationText.swift",
        "EditDistance.swift", "KeyLines.swift", "SecretSource.swift", "StageKeys.swift",
        "StageSettings.swift", "TextFile.swift", "TOMLGuard.swift",
      ]),
    .executableTarget(
      name: "batchd-fuzz",
      dependencies: ["batchd", "Stages", "Stores", "Worker", "Redis", "Pipeline"],
      path: "Tests/FuzzTests", exclude: ["Corpus", "CorpusTests.swift", "JSONTests.swift"]),
  ]
}

for target in package.targets where target.type != .system {
  target.swiftSettings = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
    .define("FAILPOINTS", .when(configuration: .debug)),
  ]
}
